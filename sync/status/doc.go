// Package status answers questions about the last rounds over HTTP: what the daemon is
// doing, what moves and what was written (/api/v1/status), what it found
// (/api/v1/findings), what it planned (/api/v1/plan) and what it saw (/api/v1/snapshot);
// and all of it at once, for people, as a page (/). What a URL asks for of the page is a
// filter, look makes a view of it, and a template writes that.
//
// It is a view: it is handed rounds and daemon facts, never looks at the world, and
// has no route that changes anything and nothing to change it with. Nobody is answered
// without being asked who they are. It keeps one snapshot, one report and short
// summaries of some rounds. docs/api.md describes what it serves.
//
// Only package app imports it.
//
//	board := status.New(status.Options{Authorize: authorize})
//	board.State(func(s *status.State) { s.Version = version })
//	board.Saw(round, snapshot)
//	mux.Handle("/api/", board.Handler())
//	mux.Handle("/{$}", board.Handler())
package status
