//! Microsoft Graph: paths, requests, answers, the operation catalogue and the simulation.
