"""What each framework is pinned to."""
