"""Studies and analyses: what methods are worth, as tables of numbers."""
