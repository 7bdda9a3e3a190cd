"""Initial answers and corrections: prompts, tokens, engines, shards and the workers that fill them."""
