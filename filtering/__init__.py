"""Rewards, filters and trajectories: which corrections the next model is trained on. No torch, no vllm."""
