"""The figures of a run, told to an experiment tracker."""
