"""Between generation and filtering, for the reward `judge` alone: ask a judge about every text that will be scored."""
