"""What every framework's suite shares: faults, actions, expectations and a place to read spans."""
