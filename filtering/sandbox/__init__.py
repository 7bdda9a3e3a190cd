"""Generated programs and the tests of their tasks, each in a sandbox: to a test, all that a program gives is data."""
