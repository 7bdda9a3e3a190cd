"""Commands on a finished or running run: summary, report, cards, baselines, status, verify, upload."""
