"""From touchpoints to a judged bundle: rows to learn from, fitting, evaluation, tracking."""
