"""Trajectories for the terminal and for other tools."""
