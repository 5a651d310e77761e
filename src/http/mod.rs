//! The HTTP front: every route on one screen, middleware, health, serving and draining.
