"""What people look at: figures, tables, the report and the tutorial. Reads results, never computes them."""
