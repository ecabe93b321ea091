"""`python -m benchmarks`: every benchmark, one after the other."""

from benchmarks import quality

if __name__ == "__main__":
    quality.main()
