package app

import (
	"context"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/status"
)

// ShowOptions are what a [Show] is put together from.
type ShowOptions struct {
	Options
	Listen          string
	APITokenFile    string // who may read the page and the API
	Version, Commit string
}

// Show serves the daemon's page, API and metrics of rounds that somebody else makes: a
// scenario of the sandbox, whose rounds follow its own clock. Make one with [NewShow].
type Show struct {
	daemon *Daemon
}

// NewShow binds the listener and serves on it.
func NewShow(ctx context.Context, o ShowOptions) (*Show, error) {
	o.Options = o.Options.withDefaults()
	d := &Daemon{opts: DaemonOptions{Options: o.Options, Listen: o.Listen, APITokenFile: o.APITokenFile, Version: o.Version, Commit: o.Commit, Lease: Lease{Identity: "sandbox"}},
		registry: prometheus.NewRegistry(), listeners: listeners{log: o.Log}, leads: true}
	d.surfaces(o.Config.Mode, nil)
	d.metrics.Leader(true)
	d.board.State(func(s *status.State) {
		s.Cluster, s.Leader, s.LeaderIdentity = o.Config.Cluster, true, "sandbox"
		s.Source.URL, s.Source.Ref, s.Source.Paths = o.Desired.URL, o.Desired.Ref, o.Desired.Dirs
		s.Configuration.File = o.Config.At.File
	})
	if err := d.bind(ctx); err != nil {
		return nil, err
	}
	d.listeners.serve()
	return &Show{daemon: d}, nil
}

// Addr is where it is served.
func (s *Show) Addr() net.Addr { return s.daemon.Addr() }

// Saw shows a round that a syncer has just made. The next must not have begun.
func (s *Show) Saw(y *Syncer, r report.Round) {
	d, now, revision := s.daemon, s.daemon.opts.Now(), r.Revision.String()
	d.metrics.Fetched(now, revision)
	d.board.State(func(st *status.State) {
		if st.Source.Fetched = now; st.Source.Accepted != revision {
			st.Source.Accepted, st.Source.AcceptedAt = revision, now
		}
	})
	d.shown(r, d.opts.Config, y, nil)
	d.mu.Lock()
	d.good = true
	d.mu.Unlock()
}

// Close ends serving.
func (s *Show) Close() error { return s.daemon.listeners.close() }
