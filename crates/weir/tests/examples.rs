//! The applications of `docs/examples`, each started by its own command and looked at in a browser. What needs packages that an
//! example brings runs by `make examples`.
