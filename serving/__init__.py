"""From a bundle to answers: the scorer, lists of customers, the endpoint."""
