"""`python -m benchmarks`: every benchmark, one after the other."""

from benchmarks import features, quality

if __name__ == "__main__":
    features.main()
    quality.main()
