"""What is expected of a job on a backend before it runs, each with an interval. Pure: state in, forecast out."""
