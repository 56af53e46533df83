"""The directory of Parquet files that holds trajectories."""
