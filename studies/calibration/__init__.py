"""What the calibrations of expected accuracy are made from, and what they are worth on targets left out."""
