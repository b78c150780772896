package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/metrics"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/sync/status"
)

// DaemonOptions are what the daemon is put together from. ConfigFile is required.
type DaemonOptions struct {
	Options // Config and Desired are the file's

	ConfigFile string
	Override   func(*desired.Configuration) error // flags, laid over each configuration that is read
	WorkDir    string                             // where fetches are kept; in memory if empty
	Lease      Lease                              // the pod's own namespace and name where they are empty

	Listen       string // of probes, metrics and the API; empty: none
	HookListen   string // of hooks; none without secrets
	APITokenFile string // who may read the API: bearers of a token in it,
	APIAccess    bool   // and whom the API server lets
	TLSCert      string // of both listeners
	TLSKey       string
	HookSecrets  map[string][]string // files, by provider

	MappingSeries   int           // cap of the metrics by mapping; their default if zero
	KubeCalls       *metrics.Kube // of [MeasureKube]; nothing is counted without
	Version, Commit string

	ReloadEvery time.Duration // how often the configuration is looked at; 5 s
	Least       time.Duration // between two rounds; the loop's default if zero
	Pulls       PullsPace     // of reports on pull requests
}

// Daemon watches a repository and keeps a cluster as it declares, for months. Make one
// with [NewDaemon]; [Daemon.Run] runs it, [Daemon.Close] gives back what is left.
type Daemon struct {
	opts      DaemonOptions
	settings  *settings
	lease     kubernetes.Interface // of the Lease alone
	registry  *prometheus.Registry
	metrics   *metrics.Metrics
	board     *status.Board
	listeners listeners
	addr      net.Addr
	hookAddr  net.Addr
	woken     chan struct{}
	knocks    chan struct{} // of hooks, while this replica stands by

	pullsWoken chan struct{}

	mu      sync.Mutex // guards what follows
	leads   bool
	leader  string // as last seen
	good    bool   // a round was good since this replica leads
	heardOf string // the last wake of another replica's that the Lease told of
}

// NewDaemon reads the configuration and binds the listeners: what is wrong with
// either shows now. Nothing is looked at or written yet.
func NewDaemon(ctx context.Context, o DaemonOptions) (*Daemon, error) {
	o.Options = o.Options.withDefaults()
	o.ReloadEvery = cmp.Or(o.ReloadEvery, 5*time.Second)
	d := &Daemon{opts: o, registry: prometheus.NewRegistry(), woken: make(chan struct{}, 1), knocks: make(chan struct{}, 1), pullsWoken: make(chan struct{}, 1), listeners: listeners{log: o.Log}}
	var err error
	if d.settings, err = openSettings(o.ConfigFile, o.Override, o.Now); err != nil {
		return nil, err
	}
	if o.WorkDir != "" {
		if err := os.MkdirAll(o.WorkDir, 0o700); err != nil {
			return nil, fmt.Errorf("make the work directory: %w: name another with --work-dir", err)
		}
	}
	config, _ := d.settings.Now()
	strangers, err := d.connect(o.Options)
	if err != nil {
		return nil, err
	}
	if d.opts.Lease, err = leaseOf(o.Lease); err != nil {
		return nil, err
	}
	d.surfaces(config.Mode, strangers)
	d.settings.told = d.reloaded
	d.settings.mu.Lock()
	d.reloaded(d.settings.last)
	d.settings.mu.Unlock()
	return d, d.bind(ctx)
}

// surfaces makes what rounds are told on.
func (d *Daemon) surfaces(mode desired.Mode, strangers kubernetes.Interface) {
	o := d.opts
	d.metrics = metrics.New(d.registry, metrics.Options{MappingLimit: o.MappingSeries, Version: o.Version, Commit: o.Commit, GoVersion: runtime.Version(), Now: o.Now})
	calls := o.KubeCalls
	if calls == nil {
		calls = metrics.NewKube()
	}
	calls.Register(d.registry)
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	d.metrics.Mode(string(mode))
	d.metrics.Leader(false)
	d.metrics.Migrations(migrations(outline.Summary{}))
	d.board = status.New(status.Options{Authorize: authorize(o, strangers), Now: o.Now})
	d.board.State(func(s *status.State) {
		s.Version, s.Commit, s.Identity = o.Version, o.Commit, d.opts.Lease.Identity
		s.Configuration.File = o.ConfigFile
	})
}

// connect makes the clients of the API server. Each has a rate limit of its own:
// neither the rounds' reads nor what strangers ask may hold a renewal of the Lease up.
func (d *Daemon) connect(o Options) (strangers kubernetes.Interface, err error) {
	if o.Kube != nil {
		d.lease = o.Kube
		return o.Kube, nil
	}
	api, err := roundsClients(o)
	if err != nil {
		return nil, err
	}
	d.opts.Kube, d.opts.Dynamic, d.opts.Dial = api.kube, api.custom, api.dial
	if d.lease, err = kubeClient(o, leaseRate); err != nil {
		return nil, err
	}
	return kubeClient(o, reviewRate)
}

// leaseOf fills in what a pod knows of itself.
func leaseOf(l Lease) (Lease, error) {
	l = l.withDefaults()
	if l.Namespace == "" {
		data, err := os.ReadFile(namespaceFile)
		if err != nil {
			return l, errors.New("no namespace for lanyard's Lease: name one with --lease-namespace, or run in a pod")
		}
		l.Namespace = strings.TrimSpace(string(data))
	}
	if l.Identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return l, fmt.Errorf("name this replica: %w: use --identity", err)
		}
		l.Identity = fmt.Sprintf("%s_%d_%d", host, os.Getpid(), time.Now().UnixNano())
	}
	return l, nil
}

// namespaceFile is where a pod finds its namespace.
// Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// BridgeKlog makes client-go log where lanyard does. It sets what is global in klog,
// so the program calls it once, before it makes a daemon.
func BridgeKlog(log *slog.Logger) { klog.SetSlogLogger(log) }

// Addr is where probes, metrics and the API are served; nil if they are not.
func (d *Daemon) Addr() net.Addr { return d.addr }

// HookAddr is where hooks are served; nil if they are not.
func (d *Daemon) HookAddr() net.Addr { return d.hookAddr }

// Run runs until the context ends, and then ends in order: nothing new is begun, the
// step in hand is finished, and the Lease is given back. It returns nil for that, and
// an error only for what cannot be mended by trying again.
func (d *Daemon) Run(ctx context.Context) error {
	d.listeners.serve()
	var watching sync.WaitGroup
	watch, stop := context.WithCancel(ctx)
	defer watching.Wait()
	defer stop()
	watching.Go(func() { d.settings.watch(watch, d.opts.ReloadEvery) })
	watching.Go(func() { d.relay(watch) })

	e := &election{lease: d.opts.Lease, kube: d.lease, log: d.opts.Log, changed: d.elected, heard: d.heard}
	for ctx.Err() == nil {
		err := e.lead(ctx, d.term)
		d.led()
		if ctx.Err() != nil {
			break
		}
		if err != nil && !errors.Is(err, ErrLeaseLost) {
			d.opts.Log.Error("this replica stopped leading, and stands for election again", "err", err)
		} else {
			d.opts.Log.Warn("this replica lost the Lease, and stands for election again")
		}
		if err := sleep(ctx, d.opts.Lease.Retry); err != nil {
			break
		}
	}
	return nil
}

// Close gives back the listeners. Call it after Run.
func (d *Daemon) Close() error { return d.listeners.close() }

// wake asks for a round, and for a look at the pull requests, soon. However many ask,
// one comes of it.
func (d *Daemon) wake() {
	poke(d.woken)
	poke(d.pullsWoken)
}

// ready says whether this replica does its part, and what that is.
func (d *Daemon) ready() (bool, string) {
	switch {
	case d.leads && d.good:
		return true, "ok: leading"
	case d.leads:
		return false, "leading, but no round was good yet: see the log"
	case d.leader != "":
		return true, "ok: standing by, " + d.leader + " leads"
	}
	return false, "standing for election, and nobody is known to lead"
}

// elected is told of each new leader.
func (d *Daemon) elected(leader string) {
	d.mu.Lock()
	d.leader = leader
	d.mu.Unlock()
	d.board.State(func(s *status.State) { s.LeaderIdentity = leader })
	if leader != "" && leader != d.opts.Lease.Identity {
		d.opts.Log.Info("standing by", "leader", leader)
	}
}

// leading notes that this replica leads from now on.
func (d *Daemon) leading() {
	d.mu.Lock()
	d.leads, d.good, d.leader = true, false, d.opts.Lease.Identity
	d.mu.Unlock()
	d.metrics.Leader(true)
	d.board.State(func(s *status.State) { s.Leader, s.LeaderIdentity = true, d.opts.Lease.Identity })
	d.opts.Log.Info("leading", "identity", d.opts.Lease.Identity)
}

// led notes that it does no more.
func (d *Daemon) led() {
	d.mu.Lock()
	was := d.leads
	d.leads, d.good = false, false
	if was {
		d.leader = ""
	}
	d.mu.Unlock()
	d.metrics.Leader(false)
	if was {
		d.metrics.Migrations(migrations(outline.Summary{})) // what is found, the leader shows
		d.board.State(func(s *status.State) { s.Leader, s.LeaderIdentity = false, "" })
	}
}

// reloaded tells what became of a configuration.
func (d *Daemon) reloaded(l loaded) {
	d.metrics.Reloaded(l.err == nil, l.at)
	d.board.State(func(s *status.State) {
		if l.err != nil {
			s.Configuration.Error = l.err.Error()
			return
		}
		s.Configuration.Error, s.Configuration.SHA256, s.Configuration.LoadedAt = "", l.sum, l.at
	})
	if l.err != nil {
		d.opts.Log.Error("the configuration is refused, and the last good one stays in force", "file", d.opts.ConfigFile, "err", l.err)
		return
	}
	d.opts.Log.Info("configuration in force", "file", d.opts.ConfigFile, "sha256", l.sum)
	d.wake()
}
