package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// remote is a repository behind the smart protocol, over HTTP or ssh. go-git's
// Remote finds its transport in a global table; this drives sessions of its own
// instead, which also lets one reference listing serve both the look and the fetch.
type remote struct {
	place   place
	auth    Auth
	ways    *httpWay // nil for ssh
	seen    witness
	workDir string
	limits  Limits
	secrets []Secret
}

// conversation is one look at a server.
type conversation interface {
	// list returns what the server advertises; nil if it has no commit.
	list(context.Context) (*packp.AdvRefs, error)
	// ask returns the answer to one request. It may be called again.
	ask(context.Context, *packp.UploadPackRequest) (io.ReadCloser, error)
	close() error
}

func newRemote(at place, auth Auth, base http.RoundTripper, workDir string, limits Limits) *remote {
	r := &remote{place: at, auth: auth, workDir: workDir, limits: limits}
	if at.url != nil {
		r.ways = &httpWay{given: base, auth: auth}
	}
	return r
}

func (r *remote) hide(s Secret) { r.secrets = append(r.secrets, s) }

// hidden are the secrets that the last look knew.
func (r *remote) hidden() []Secret { return r.secrets }

func (r *remote) close() error {
	if r.ways != nil {
		r.ways.close()
	}
	return nil
}

func (r *remote) look(ctx context.Context) (look, error) {
	r.seen.forget()
	r.secrets = ofProxies()
	if proxy, err := url.Parse(r.auth.Proxy); err == nil {
		password, _ := proxy.User.Password()
		r.hide(Secret(password))
	}
	login, err := r.auth.read(r.ways == nil, r.hide)
	if err != nil {
		return nil, err
	}
	talk, err := r.converse(ctx, login)
	if err != nil {
		return nil, r.explain(ctx, "list references", err)
	}
	refs, err := talk.list(ctx)
	if err != nil {
		return nil, errors.Join(r.explain(ctx, "list references", err), talk.close())
	}
	l := &remoteLook{remote: r, talk: talk}
	if refs != nil {
		l.listing, l.server = listed(refs), refs.Capabilities
	}
	return l, nil
}

func (r *remote) converse(ctx context.Context, l login) (conversation, error) {
	if r.ways != nil {
		return r.ways.open(r, l)
	}
	return openSSH(ctx, r, l)
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
	talk   conversation
	server *capability.List
}

func (l *remoteLook) refsSeen() *listing { return &l.listing }

func (l *remoteLook) close() error { return l.talk.close() }

// fetch asks for one commit without its history. A server that hands out nothing
// but what its refs stand on, or a commit of which only the start of the hash is
// known, takes the history of all branches and tags.
func (l *remoteLook) fetch(ctx context.Context, at target) (*objects, error) {
	req := l.request()
	if l.handsOut(at.hash) {
		req.Wants = []plumbing.Hash{at.hash}
		l.deepen(req, 1)
	} else if req.Wants = l.branchesAndTags(); len(req.Wants) == 0 {
		return nil, noCommit(at.name)
	}
	got, err := l.receive(ctx, req)
	switch {
	case err == nil:
		got.whole, got.filed = req.Depth.IsZero(), true
		return got, nil
	case at.ref == "" && isNotOurs(err):
		return nil, noCommit(at.name)
	}
	return nil, l.explain(ctx, "fetch", err)
}

// history asks for the commits down to so many generations from some tips, and for their
// files too if full is set. A server that cannot leave out files, or cannot stop at a
// depth, sends more, within the same limits.
func (l *remoteLook) history(ctx context.Context, tips []plumbing.Hash, depth int, full bool) (*objects, error) {
	req := l.request()
	req.Wants = tips
	l.deepen(req, depth)
	filtered := !full && l.server.Supports(capability.Filter)
	if filtered {
		_ = req.Capabilities.Set(capability.Filter)
		req.Filter = packp.FilterTreeDepth(0)
	}
	got, err := l.receive(ctx, req)
	if err != nil {
		return nil, l.lacks(ctx, fmt.Sprintf("fetch %d commits deep", depth), tips, err)
	}
	got.whole, got.filed = req.Depth.IsZero(), !filtered
	return got, nil
}

// contents asks for some commits without their history, in one answer: what they share is
// sent once.
func (l *remoteLook) contents(ctx context.Context, wants []plumbing.Hash) (*objects, error) {
	req := l.request()
	req.Wants = wants
	l.deepen(req, 1)
	got, err := l.receive(ctx, req)
	if err != nil {
		return nil, l.lacks(ctx, "fetch", wants, err)
	}
	got.filed = true
	return got, nil
}

// everything asks for the history of all branches and tags, and of some other tips.
func (l *remoteLook) everything(ctx context.Context, also []plumbing.Hash) (*objects, error) {
	req := l.request()
	req.Wants = l.branchesAndTags()
	for _, hash := range also {
		if l.isTip(hash) && !slices.Contains(req.Wants, hash) {
			req.Wants = append(req.Wants, hash)
		}
	}
	got, err := l.receive(ctx, req)
	if err != nil {
		return nil, l.explain(ctx, "fetch", err)
	}
	got.whole, got.filed = true, true
	return got, nil
}

// lacks is [remote.explain] of an answer to commits asked for by hash. What a ref stands
// on was there a moment ago.
func (l *remoteLook) lacks(ctx context.Context, verb string, wants []plumbing.Hash, err error) error {
	for _, hash := range wants {
		if isNotOurs(err) && !l.isTip(hash) {
			return noCommit(hash.String())
		}
	}
	return l.explain(ctx, verb, err)
}

func (l *remoteLook) request() *packp.UploadPackRequest {
	req := packp.NewUploadPackRequestFromCapabilities(l.server)
	for _, c := range []capability.Capability{capability.NoProgress, capability.Shallow} {
		if l.server.Supports(c) {
			_ = req.Capabilities.Set(c)
		}
	}
	return req
}

func (l *remoteLook) deepen(req *packp.UploadPackRequest, depth int) {
	if l.server.Supports(capability.Shallow) {
		req.Depth = packp.DepthCommits(depth)
	}
}

func (l *remoteLook) receive(ctx context.Context, req *packp.UploadPackRequest) (*objects, error) {
	answer, err := l.talk.ask(ctx, req)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	response := packp.NewUploadPackResponse(req)
	if err := response.Decode(answer); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return unpack(ctx, demultiplexed(req.Capabilities, response), l.workDir, l.limits)
}

// isNotOurs reports whether the server does not have what was wanted. It says so
// in a line that go-git returns as text, or passes over when it asked for a
// shallow answer: then no pack follows.
func isNotOurs(err error) bool {
	return errors.Is(err, packfile.ErrEmptyPackfile) || strings.Contains(err.Error(), "not our ref")
}

func (l *remoteLook) handsOut(hash plumbing.Hash) bool {
	return !hash.IsZero() && l.server != nil && (l.isTip(hash) || // an empty repository has said nothing of itself
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
	if seen := r.seen.failure(); seen != nil {
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
