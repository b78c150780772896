// Package browser is a module of its own, so that what drives a browser is not among what
// lanyard needs. Its tests run the daemon in the sandbox, open its page in a headless
// Chromium, and look at what a person would see there. `make check-page` runs them.
package browser
