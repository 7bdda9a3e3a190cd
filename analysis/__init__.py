"""Statistics, start estimate, report and inspection: reads runs/, writes no stage's files."""
