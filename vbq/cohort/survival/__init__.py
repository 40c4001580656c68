"""The survival engine: Cox with Efron or Breslow ties as R's survival package does it, and its companions."""
