package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// remote is a repository behind the smart HTTP protocol. go-git's Remote finds its
// transport in a global table; this drives a session of its own instead, which
// also lets one reference listing serve both the look and the fetch.
type remote struct {
	place   place
	auth    githttp.AuthMethod
	wire    *wire
	git     transport.Transport
	workDir string
	limits  Limits
}

func newRemote(at place, auth Auth, base http.RoundTripper, workDir string, limits Limits) *remote {
	if base == nil {
		base = http.DefaultTransport
		if own, ok := base.(*http.Transport); ok {
			base = own.Clone()
		}
	}
	w := &wire{base: base, limits: limits}
	return &remote{
		place: at, auth: auth.method(), wire: w, workDir: workDir, limits: limits,
		git: githttp.NewClient(&http.Client{Transport: w}),
	}
}

func (a Auth) method() githttp.AuthMethod {
	switch {
	case a.Token == "":
		return nil
	case a.Bearer:
		return &githttp.TokenAuth{Token: string(a.Token)}
	case a.Username == "":
		return &githttp.BasicAuth{Username: "x-access-token", Password: string(a.Token)}
	}
	return &githttp.BasicAuth{Username: a.Username, Password: string(a.Token)}
}

func (r *remote) close() error {
	if idle, ok := r.wire.base.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
	return nil
}

func (r *remote) look(ctx context.Context) (look, error) {
	r.wire.forget()
	endpoint, err := transport.NewEndpoint(r.place.url.String())
	if err != nil {
		return nil, remedy.Mark(remedy.Hold, fmt.Errorf("%w: it cannot be parsed: write https://host/path", ErrURL))
	}
	// A nil AuthMethod in an interface would be called.
	var auth transport.AuthMethod
	if r.auth != nil {
		auth = r.auth
	}
	session, err := r.git.NewUploadPackSession(endpoint, auth)
	if err != nil {
		return nil, r.explain(ctx, "list references", err)
	}
	refs, err := session.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return &remoteLook{remote: r}, nil
	} else if err != nil {
		return nil, r.explain(ctx, "list references", err)
	}
	return &remoteLook{remote: r, session: session, listing: listed(refs), server: refs.Capabilities}, nil
}

func listed(refs *packp.AdvRefs) listing {
	l := listing{refs: refs.References}
	if refs.Head != nil {
		l.refs["HEAD"] = *refs.Head
	}
	for _, link := range refs.Capabilities.Get(capability.SymRef) {
		name, target, _ := strings.Cut(link, ":")
		if _, known := l.refs[target]; known && name == "HEAD" {
			l.head = target
		}
	}
	return l
}

// remoteLook is a repository as the server listed it.
type remoteLook struct {
	listing
	*remote
	session transport.UploadPackSession
	server  *capability.List
}

func (l *remoteLook) refsSeen() *listing { return &l.listing }

func (l *remoteLook) close() error { return nil }

// fetch asks for one commit without its history. A server that hands out nothing
// but what its refs stand on, or a commit of which only the start of the hash is
// known, takes the history of all branches and tags.
func (l *remoteLook) fetch(ctx context.Context, at target) (*objects, error) {
	req := packp.NewUploadPackRequestFromCapabilities(l.server)
	for _, c := range []capability.Capability{capability.NoProgress, capability.Shallow} {
		if l.server.Supports(c) {
			_ = req.Capabilities.Set(c)
		}
	}
	if l.handsOut(at.hash) {
		req.Wants = []plumbing.Hash{at.hash}
		if l.server.Supports(capability.Shallow) {
			req.Depth = packp.DepthCommits(1)
		}
	} else if req.Wants = l.branchesAndTags(); len(req.Wants) == 0 {
		return nil, noCommit(at.name)
	}
	got, err := l.receive(ctx, req)
	switch {
	case err == nil:
		return got, nil
	case at.ref == "" && isNotOurs(err):
		return nil, noCommit(at.name)
	}
	return nil, l.explain(ctx, "fetch", err)
}

func (l *remoteLook) receive(ctx context.Context, req *packp.UploadPackRequest) (*objects, error) {
	answer, err := l.session.UploadPack(ctx, req)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	return unpack(ctx, demultiplexed(req.Capabilities, answer), l.workDir, l.limits)
}

// isNotOurs reports whether the server does not have what was wanted. It says so
// in a line that go-git returns as text, or passes over when it asked for a
// shallow answer: then no pack follows.
func isNotOurs(err error) bool {
	return errors.Is(err, packfile.ErrEmptyPackfile) || strings.Contains(err.Error(), "not our ref")
}

func (l *remoteLook) handsOut(hash plumbing.Hash) bool {
	return !hash.IsZero() && (l.isTip(hash) ||
		l.server.Supports(capability.AllowReachableSHA1InWant) || l.server.Supports(capability.Capability("allow-any-sha1-in-want")))
}

func (l *listing) branchesAndTags() []plumbing.Hash {
	unique := map[plumbing.Hash]bool{}
	for name, hash := range l.refs {
		if strings.HasPrefix(name, heads) || strings.HasPrefix(name, tags) {
			unique[hash] = true
		}
	}
	wants := slices.Collect(maps.Keys(unique))
	plumbing.HashesSort(wants)
	return wants
}

func demultiplexed(agreed *capability.List, r io.Reader) io.Reader {
	switch {
	case agreed.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case agreed.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}

// explain classes an error once, by what the transport saw where that says more
// than what go-git made of it.
func (r *remote) explain(ctx context.Context, verb string, err error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%s: %w", verb, ended)
	}
	if seen := r.wire.failure(); seen != nil {
		return fmt.Errorf("%s: %w", verb, seen)
	}
	if remedy.Of(err) != remedy.Halt {
		return fmt.Errorf("%s: %w", verb, err)
	}
	if unexpected, ok := errors.AsType[*plumbing.UnexpectedError](err); ok {
		err = unexpected.Err // it hides what it wraps
	}
	return remedy.Mark(remedy.Retry, fmt.Errorf("%s: %w: %w: check that the address is that of a Git repository", verb, ErrUnreachable, err))
}
