//! A discrete-event world that carries out the controller's effects on a virtual clock.
