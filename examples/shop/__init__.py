"""What the three example apps share: the domain, the service they call, tracing, fire drills."""
