"""What is known about each customer at a moment: the contract, the event log, features and text."""
