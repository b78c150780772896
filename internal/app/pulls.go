package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/forge"
	"github.com/lanyard-io/lanyard/internal/forge/github"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/migrate/review"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// PullsPace is how often pull requests are looked at; zero values mean the reporter's
// own. It is for tests and the sandbox.
type PullsPace struct{ Interval, Every, Spacing time.Duration }

// stand is what reports on pull requests are held against: what a round found, and what
// the operator let it do. It is never changed once it is here.
type stand struct {
	accepted desired.Revision
	snapshot *live.Snapshot
	mode     desired.Mode
	policy   plan.Policy
	outline  outline.Options
}

// pulls reports on pull requests while this replica leads.
type pulls struct {
	reporter *forge.Reporter
	git      *Git
	name     string
	now      atomic.Pointer[stand]
	woken    chan struct{}
	changes  []*known // newest last
}

// known is a change that was read. Git need not be asked again while neither side moves.
type known struct {
	base, head string
	change     *Change
}

// mostKnown bounds the mappings and mistakes of all heads that are kept, which is what
// whoever opens pull requests can fill: each is a kilobyte or two. The base, which was
// accepted, is kept once beside them.
const mostKnown = 10_000

// openPulls opens the host and a repository of its own: what it fetches must not make
// rounds wait. It returns nil where the feature is off.
func (d *Daemon) openPulls(c *desired.Configuration) (*pulls, error) {
	if !c.Features.PullRequests {
		return nil, nil
	}
	f, err := c.Forge()
	if err != nil {
		return nil, err
	}
	transport, err := pullsTransport(c)
	if err != nil {
		return nil, err
	}
	host, err := github.New(github.Options{
		URL: f.API, Repository: f.Repository, Token: secretOf(c.PullRequests.TokenFile), Author: c.PullRequests.Author,
		Transport: transport, Agent: "lanyard/" + d.opts.Version, Called: d.metrics.HostCall, Left: d.metrics.HostLeft,
	})
	if err != nil {
		return nil, err
	}
	// The base is the accepted commit, which was judged when it was accepted; a head is a
	// proposal, and may be signed by anybody.
	source := sourceOptions(c.Source, d.opts.WorkDir)
	source.Verify = gitsource.Verify{}
	opened, err := gitsource.Open(source)
	if err != nil {
		return nil, err
	}
	p := &pulls{
		name: f.Context, git: &Git{source: opened, paths: c.Source.Paths, show: func(name string) string { return name }},
		woken: d.pullsWoken,
	}
	p.reporter = forge.New(forge.Options{
		Host: host, Diff: p.diff, Stamp: p.stamp, Name: f.Context, Base: f.Branch, Forks: c.PullRequests.Forks,
		Interval: cmp.Or(d.opts.Pulls.Interval, min(c.Source.Interval, time.Minute)), Every: d.opts.Pulls.Every, Spacing: d.opts.Pulls.Spacing,
		Log: d.opts.Log, Saw: func(what forge.What, result forge.Result) { d.metrics.Shown(string(what), string(result)) },
	})
	return p, nil
}

// secretOf reads a file of one secret anew each time: tokens are renewed under a daemon
// that runs for months.
func secretOf(file string) func() (string, error) {
	return func() (string, error) {
		found, err := lines(file)
		switch {
		case err != nil:
			return "", err
		case len(found) != 1:
			return "", fmt.Errorf("%s has %d lines: write one token to it", file, len(found))
		}
		return found[0], nil
	}
}

// pullsTransport reaches the host as the repository is reached: through the same proxy,
// and with the same private authority unless the host has its own.
func pullsTransport(c *desired.Configuration) (http.RoundTripper, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns: 2, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	file := c.PullRequests.CAFile
	if file == "" {
		file = c.Source.Auth.CAFile
	}
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the authority of pull requests: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%s has no certificate: write the authority's, in PEM", file)
		}
	}
	if c.Source.Auth.Proxy != "" {
		proxy, err := url.Parse(c.Source.Auth.Proxy)
		if err != nil {
			return nil, errors.New("source.auth.proxy cannot be parsed: write http://host:port")
		}
		t.Proxy = http.ProxyURL(proxy)
	}
	return t, nil
}

// run reports until the context ends.
func (p *pulls) run(ctx context.Context) { p.reporter.Run(ctx, p.woken) }

// close gives the repository back.
func (p *pulls) close() error { return p.git.Close() }

// standOf is what a round has left. It is called between two.
func standOf(r report.Round, s *Syncer, c *desired.Configuration) *stand {
	o := Outline(c, s.loop.Policy())
	if s.planner != nil {
		o.Evidence = s.planner.Evidence()
	}
	return &stand{accepted: s.loop.State().Revision, snapshot: s.loop.Snapshot(), mode: r.Mode, policy: s.loop.Policy(), outline: o}
}

// saw takes over what a round found, and asks for a look when that makes other answers.
func (p *pulls) saw(s *stand) {
	was := p.stamp()
	p.now.Store(s)
	if p.stamp() != was {
		poke(p.woken)
	}
}

// poke wakes whoever waits, once.
func poke(woken chan struct{}) {
	select {
	case woken <- struct{}{}:
	default:
	}
}

// stamp names what answers depend on and what does not change by itself: the live world
// does.
func (p *pulls) stamp() string {
	s := p.now.Load()
	if s == nil {
		return ""
	}
	return s.accepted.Commit + " " + string(s.mode)
}

// diff says what merging a pull request would do.
func (p *pulls) diff(ctx context.Context, pull forge.Pull) (forge.Answer, error) {
	s := p.now.Load()
	change, err := p.change(ctx, s.accepted.Commit, pull)
	if err != nil {
		return unread(pull, err)
	}
	pair, err := change.For(s.snapshot.Cluster())
	if err != nil {
		return forge.Answer{}, remedy.Mark(remedy.Hold, err)
	}
	if n := pair.added(); n > mostAdded {
		return forge.Answer{
			Touches: true, State: forge.Failure, Description: fmt.Sprintf("not looked at: it adds %d mappings at once", n),
			Body: fmt.Sprintf("### lanyard: this pull request is not looked at\n\nIt adds %d mappings for cluster %s at once, and the daemon reports on %d at most. `lanyard diff --base` tells what merging it would do.\n", n, report.Code(s.snapshot.Cluster().Name), mostAdded),
		}, nil
	}
	if !change.Touches && len(pair.Refused) == 0 { // most of a repository that holds other things: not judged
		return forge.Answer{
			Body:  fmt.Sprintf("### lanyard: nothing\n\nThis pull request changes no file that lanyard reads for cluster %s.\n", report.Code(pair.Head.Cluster)),
			State: forge.Success, Description: "changes no file that lanyard reads",
		}, nil
	}
	r := review.New(review.Input{
		Base: pair.Base, Head: pair.Head, Refused: pair.Refused, Snapshot: s.snapshot, Mode: s.mode, Policy: s.policy, Outline: s.outline,
	})
	r.Snapshot = review.Look{} // its moment would change the comment with every look
	var body bytes.Buffer
	if err := r.Markdown(&body, forge.Room(p.name)); err != nil {
		return forge.Answer{}, err
	}
	a := forge.Answer{Touches: true, Body: body.String(), State: forge.Success, Description: r.Summary.Line}
	if r.Summary.Refused > 0 {
		a.State = forge.Failure
	}
	return a, nil
}

// mostAdded bounds the mappings that a pull request may add to be reported on: each takes
// some 30 kB while it is judged, and whoever may open a pull request may write 50,000.
// What it changes or deletes is bounded by what there is.
const mostAdded = 5_000

// added counts the mappings that the head has and the base has not.
func (p Pair) added() (n int) {
	for _, m := range p.Head.Mappings {
		if _, was := p.Base.Mapping(m.Subject); !was {
			n++
		}
	}
	return n
}

// unread answers for a head that Git cannot make anything of, which is a matter of the
// pull request's author; what is wrong with Git itself, or with the way there, is not.
func unread(pull forge.Pull, err error) (forge.Answer, error) {
	for _, theirs := range []error{gitsource.ErrLimit, gitsource.ErrMalformed, gitsource.ErrEscapes, gitsource.ErrNoFork} {
		if errors.Is(err, theirs) {
			return forge.Answer{
				Touches: true, State: forge.Failure, Description: "cannot be read: " + theirs.Error(),
				Body: fmt.Sprintf("### lanyard: this pull request cannot be read\n\nCommit %s: %s.\n", pull.Head, theirs),
			}, nil
		}
	}
	return forge.Answer{}, err
}

// change reads what merging a head into the accepted commit does to the files, from Git
// and never from what the host says of it.
func (p *pulls) change(ctx context.Context, base string, pull forge.Pull) (*Change, error) {
	for _, k := range p.changes {
		if k.base == base && k.head == pull.Head {
			return k.change, nil
		}
	}
	c, err := p.git.Change(ctx, base, pull.Head)
	if _, are := errors.AsType[desired.Errors](err); are {
		err = remedy.Mark(remedy.Hold, err) // the accepted commit is not read as it was: the configuration has changed
	}
	if err != nil {
		return nil, err
	}
	p.keep(&known{base, pull.Head, c})
	return c, nil
}

// keep remembers a change in place of the oldest ones, and of those into another base,
// which is not asked about again. One that is too large takes no other's place.
func (p *pulls) keep(k *known) {
	p.changes = slices.DeleteFunc(p.changes, func(o *known) bool { return o.base != k.base })
	if k.change.size() > mostKnown {
		return
	}
	p.changes = append(p.changes, k)
	size := 0
	for i := len(p.changes) - 1; i >= 0; i-- {
		if size += p.changes[i].change.size(); size > mostKnown {
			p.changes = append([]*known{}, p.changes[i+1:]...)
			break
		}
	}
}

// size counts the head's mappings, and its mistakes; a change with neither is one, too, for
// there is no end of heads. The base is all changes' own, and so is a head that changes
// nothing.
func (c *Change) size() int {
	n := 1 + len(c.refused)
	if c.head != nil && c.head != c.base {
		n += c.head.Counts().Mappings
	}
	return n
}
