"""The service itself: app (routes), service (rules), deliveries (durable workflows), store (tables), sources, embed."""
