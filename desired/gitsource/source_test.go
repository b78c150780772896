package gitsource_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// origins are the ways to a repository; each must give the same answers.
func origins(t *testing.T, f *fleet) map[string]gitsource.Options {
	t.Helper()
	auth := gitsource.Auth{Token: token}
	_, overSSH := f.serveSSH(t, gitd.SSHOptions{})
	return map[string]gitsource.Options{
		"ssh server":      overSSH,
		"path":            {URL: f.Dir},
		"file URL":        {URL: "file://" + f.Dir},
		"go-git server":   {URL: f.serve(t, gitd.Options{Token: token}).URL, Auth: auth},
		"git server":      {URL: f.serve(t, gitd.Options{Token: token, Git: gitBinary(t)}).URL, Auth: auth},
		"git server disk": {URL: f.serve(t, gitd.Options{Token: token, Git: gitBinary(t)}).URL, Auth: auth, WorkDir: t.TempDir()},
	}
}

func TestRefs(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ways := origins(t, f)
	for _, tt := range []struct {
		name, ref  string
		want       desired.Revision
		wantReader string
	}{
		{"HEAD by default", "", desired.Revision{Ref: "main", Commit: f.third}, "n: 3\n"},
		{"HEAD", "HEAD", desired.Revision{Ref: "main", Commit: f.third}, "n: 3\n"},
		{"branch", "main", desired.Revision{Ref: "main", Commit: f.third}, "n: 3\n"},
		{"branch with a slash", "release/1.0", desired.Revision{Ref: "release/1.0", Commit: f.second}, "n: 2\n"},
		{"full name", "refs/heads/main", desired.Revision{Ref: "main", Commit: f.third}, "n: 3\n"},
		{"tag", "light", desired.Revision{Ref: "light", Commit: f.second}, "n: 2\n"},
		{"annotated tag", "v1", desired.Revision{Ref: "v1", Commit: f.first}, "n: 1\n"},
		{"commit on a branch", f.third, desired.Revision{Ref: f.third, Commit: f.third}, "n: 3\n"},
		{"commit in the history", f.first, desired.Revision{Ref: f.first, Commit: f.first}, "n: 1\n"},
		{"short commit on a branch", f.third[:7], desired.Revision{Ref: f.third[:7], Commit: f.third}, "n: 3\n"},
		{"short commit in the history, odd", f.first[:9], desired.Revision{Ref: f.first[:9], Commit: f.first}, "n: 1\n"},
	} {
		for way, options := range ways {
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				options.Ref = tt.ref
				got, changed := latest(t, open(t, options))
				if got.Revision != tt.want || !changed {
					t.Errorf("Latest of %q = %v, changed %v, want %v, true", tt.ref, got.Revision, changed, tt.want)
				}
				if got := content(t, got.FS, "fleet/demo/reader.yaml"); got != tt.wantReader {
					t.Errorf("reader.yaml at %q = %q, want %q", tt.ref, got, tt.wantReader)
				}
			})
		}
	}
}

func TestRefsThatAreNotThere(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	blob, err := f.Blob("no commit")
	f.do(t, err)
	f.do(t, f.Tag("blob", blob))
	ways := origins(t, f)
	for _, tt := range []struct {
		name, ref string
		is        error
		say       string
	}{
		{"typo", "mian", gitsource.ErrRefNotFound, `did you mean "main"?`},
		{"last part", "1.0", gitsource.ErrRefNotFound, `did you mean "release/1.0"`},
		{"nothing like it", "nothing-like-it", gitsource.ErrRefNotFound, "name a branch, a tag or a commit"},
		{"full name", "refs/heads/gone", gitsource.ErrRefNotFound, "refs/heads/gone"},
		{"commit", strings.Repeat("12345678", 5), gitsource.ErrRefNotFound, "no branch or tag reaches"},
		{"short commit", "1234567", gitsource.ErrRefNotFound, "no branch or tag reaches"},
		{"a tag on a file", "blob", gitsource.ErrRefNotFound, "is a blob"},
		{"SHA-256", strings.Repeat("12345678", 8), gitsource.ErrUnsupported, "SHA-1"},
		{"hostile", "../../config", gitsource.ErrRefNotFound, "../../config"},
	} {
		for way, options := range ways {
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				options.Ref = tt.ref
				_, _, err := open(t, options).Latest(t.Context())
				if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.say) || remedy.Of(err) != remedy.Hold {
					t.Errorf("Latest of %q = %v (remedy %v), want %v saying %q (remedy hold)", tt.ref, err, remedy.Of(err), tt.is, tt.say)
				}
			})
		}
	}
}

func TestABranchWinsOverATagOfItsName(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.do(t, f.Tag("main", f.first))
	for way, options := range origins(t, f) {
		options.Ref = "main"
		if got, _ := latest(t, open(t, options)); got.Revision.Commit != f.third {
			t.Errorf("%s: main = %s, want the branch's %s", way, got.Revision.Commit, f.third)
		}
	}
}

func TestMovedRef(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for way, options := range origins(t, f) {
		t.Run(way, func(t *testing.T) {
			options.Ref = "main"
			f.do(t, f.SetBranch("main", f.third))
			src := open(t, options)
			first, _ := latest(t, src)

			again, changed := latest(t, src)
			if changed || again != first {
				t.Errorf("Latest of an unmoved ref = %v, changed %v, want the same snapshot", again.Revision, changed)
			}
			f.do(t, f.SetBranch("main", f.first)) // by force, back
			back, changed := latest(t, src)
			if !changed || back.Revision.Commit != f.first {
				t.Errorf("Latest after the branch was forced back = %v, changed %v, want %s, true", back.Revision, changed, f.first)
			}
			if got := content(t, back.FS, "fleet/demo/reader.yaml"); got != "n: 1\n" {
				t.Errorf("reader.yaml = %q, want that of the first commit", got)
			}
			f.do(t, f.SetBranch("main", f.second))
			on, changed := latest(t, src)
			if !changed || on.Revision.Commit != f.second {
				t.Errorf("Latest after a move on = %v, changed %v, want %s, true", on.Revision, changed, f.second)
			}
		})
	}
}

func TestATagMadeAnewOnTheSameCommitIsNoChange(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for way, options := range origins(t, f) {
		options.Ref = "v1"
		src := open(t, options)
		first, _ := latest(t, src)
		if _, err := f.AnnotatedTag("v1", f.first, gitd.Signature{Name: way, Email: "a@example.com", Message: "again", When: noon}); err != nil {
			t.Fatal(err)
		}
		if got, changed := latest(t, src); changed || got != first {
			t.Errorf("%s: Latest = %v, changed %v, want the same snapshot", way, got.Revision, changed)
		}
		if got := content(t, first.FS, "README.md"); got != "fleet\n" {
			t.Errorf("%s: README.md = %q, want it still readable", way, got)
		}
	}
}

func TestUnmovedRefCostsOneListing(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	listing := gitd.Request{Method: "GET", Path: "/info/refs", Query: "service=git-upload-pack", Status: 200}
	fetch := gitd.Request{Method: "POST", Path: "/git-upload-pack", Status: 200}
	for _, tt := range []struct {
		name, ref  string
		git        string
		then, more []gitd.Request
	}{
		{"branch", "main", gitBinary(t), []gitd.Request{listing, fetch}, []gitd.Request{listing}},
		{"branch, go-git", "main", "", []gitd.Request{listing, fetch}, []gitd.Request{listing}},
		{"annotated tag", "v1", gitBinary(t), []gitd.Request{listing, fetch}, []gitd.Request{listing}},
		{"short commit", f.first[:8], gitBinary(t), []gitd.Request{listing, fetch}, []gitd.Request{listing}},
		{"commit", f.first, gitBinary(t), []gitd.Request{listing, fetch}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := f.serve(t, gitd.Options{Git: tt.git})
			src := open(t, gitsource.Options{URL: server.URL, Ref: tt.ref})
			latest(t, src)
			if diff := cmp.Diff(tt.then, server.Requests()); diff != "" {
				t.Errorf("first look (-want +got):\n%s", diff)
			}
			server.Forget()
			latest(t, src)
			if diff := cmp.Diff(tt.more, server.Requests()); diff != "" {
				t.Errorf("second look (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnmovedRefOnDiskReadsNoObjects(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	src := open(t, gitsource.Options{URL: f.Dir, Ref: "main"})
	first, _ := latest(t, src)
	if err := os.RemoveAll(filepath.Join(f.Dir, "objects")); err != nil {
		t.Fatal(err)
	}
	if got, changed := latest(t, src); changed || got != first {
		t.Errorf("Latest without objects = %v, changed %v, want the same snapshot", got.Revision, changed)
	}
}

func TestFetchIsShallow(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	server := f.serve(t, gitd.Options{Git: gitBinary(t)})
	// Three commits hold three contents of reader.yaml; one of them is fetched.
	got, _ := latest(t, open(t, gitsource.Options{URL: server.URL, Ref: "main", Limits: gitsource.Limits{Objects: 12}}))
	if got.Revision.Commit != f.third {
		t.Errorf("main = %s, want %s", got.Revision.Commit, f.third)
	}
	_, _, err := open(t, gitsource.Options{URL: server.URL, Ref: f.first[:8], Limits: gitsource.Limits{Objects: 12}}).Latest(t.Context())
	if !errors.Is(err, gitsource.ErrLimit) {
		t.Errorf("the whole history within 12 objects: %v, want %v", err, gitsource.ErrLimit)
	}
}

func TestAuth(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	server := f.serve(t, gitd.Options{Token: token})
	embedded := func(userinfo string) string { return strings.Replace(server.URL, "://", "://"+userinfo+"@", 1) }
	for _, tt := range []struct {
		name string
		url  string
		auth gitsource.Auth
		ok   bool
	}{
		{"basic", server.URL, gitsource.Auth{Token: token}, true},
		{"basic with a name", server.URL, gitsource.Auth{Username: "oauth2", Token: token}, true},
		{"bearer", server.URL, gitsource.Auth{Token: token, Bearer: true}, true},
		{"in the URL", embedded("someone:" + token), gitsource.Auth{}, true},
		{"in the URL alone", embedded(token), gitsource.Auth{}, true},
		{"missing", server.URL, gitsource.Auth{}, false},
		{"wrong", server.URL, gitsource.Auth{Token: "wr0ng-t0ken"}, false},
		{"wrong bearer", server.URL, gitsource.Auth{Token: "wr0ng-t0ken", Bearer: true}, false},
		{"wrong in the URL", embedded("wr0ng-t0ken"), gitsource.Auth{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src := open(t, gitsource.Options{URL: tt.url, Auth: tt.auth})
			_, _, err := src.Latest(t.Context())
			if tt.ok && err != nil || !tt.ok && (!errors.Is(err, gitsource.ErrAuth) || remedy.Of(err) != remedy.Hold) {
				t.Errorf("Latest = %v, want refused: %v", err, !tt.ok)
			}
			for _, said := range []string{src.String(), errorText(err)} {
				if strings.Contains(said, token) || strings.Contains(said, "wr0ng") {
					t.Errorf("%q shows a token", said)
				}
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestTokenStaysWithItsHost follows redirects to the same server under another
// name. The token must not come along; without it, the server there refuses.
func TestTokenStaysWithItsHost(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	server := f.serve(t, gitd.Options{Token: token})
	for _, tt := range []struct {
		from string
		is   error
	}{
		{strings.Replace(server.URL, "127.0.0.1", "localhost", 1), gitsource.ErrAuth},
		{"https://git.example.com/fleet", gitsource.ErrUnreachable}, // https to http: not followed
	} {
		t.Run(tt.from, func(t *testing.T) {
			t.Parallel()
			var sent []string
			transport := roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Hostname() == "127.0.0.1" {
					sent = append(sent, r.Header.Get("Authorization"))
					return http.DefaultTransport.RoundTrip(r)
				}
				if r.Header.Get("Authorization") == "" {
					t.Error("the first request bears no token")
				}
				return &http.Response{
					StatusCode: http.StatusFound, Body: http.NoBody,
					Header: http.Header{"Location": {server.URL + "/info/refs?service=git-upload-pack"}},
				}, nil
			})
			src := open(t, gitsource.Options{URL: tt.from, Auth: gitsource.Auth{Token: token}, Transport: transport})
			if _, _, err := src.Latest(t.Context()); !errors.Is(err, tt.is) {
				t.Errorf("Latest = %v, want %v", err, tt.is)
			}
			for _, header := range sent {
				if header != "" {
					t.Errorf("the token went to another host: %q", header)
				}
			}
		})
	}
}

func TestServersThatFail(t *testing.T) {
	t.Parallel()
	answer := func(code int, body string) roundTrip {
		return func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		}
	}
	for _, tt := range []struct {
		name      string
		transport roundTrip
		is        error
		remedy    remedy.Class
		say       string
	}{
		{"unauthorized", answer(401, token), gitsource.ErrAuth, remedy.Hold, "may have expired"},
		{"forbidden", answer(403, token), gitsource.ErrAuth, remedy.Hold, "may have expired"},
		{"not found", answer(404, token), gitsource.ErrNoRepository, remedy.Hold, "check the path"},
		{"throttled", answer(429, token), gitsource.ErrUnreachable, remedy.Retry, "429"},
		{"broken", answer(500, token), gitsource.ErrUnreachable, remedy.Retry, "500"},
		{"a web page", answer(200, "<html>"+token), gitsource.ErrUnreachable, remedy.Retry, "Git repository"},
		{"nothing", answer(200, ""), gitsource.ErrUnreachable, remedy.Retry, "Git repository"},
		{"no network", func(*http.Request) (*http.Response, error) {
			return nil, errors.New("dial tcp: no route with " + token)
		}, gitsource.ErrUnreachable, remedy.Retry, "no route"},
		{"http elsewhere", func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: 302, Body: http.NoBody, Request: r,
				Header: http.Header{"Location": {"http://git.example.org/fleet/info/refs?service=git-upload-pack"}},
			}, nil
		}, gitsource.ErrURL, remedy.Hold, "plain http"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src := open(t, gitsource.Options{URL: "http://127.0.0.1:1/fleet", Auth: gitsource.Auth{Token: token}, Transport: tt.transport})
			_, _, err := src.Latest(t.Context())
			if !errors.Is(err, tt.is) || remedy.Of(err) != tt.remedy || !strings.Contains(err.Error(), tt.say) {
				t.Errorf("Latest = %v (remedy %v), want %v saying %q (remedy %v)", err, remedy.Of(err), tt.is, tt.say, tt.remedy)
			}
			if strings.Contains(errorText(err), token) {
				t.Errorf("error %q shows the token", err)
			}
		})
	}
}

func TestAFailedLookKeepsTheSnapshot(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	server := f.serve(t, gitd.Options{})
	broken := false
	src := open(t, gitsource.Options{URL: server.URL, Ref: "main", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if broken {
			return nil, errors.New("down")
		}
		return http.DefaultTransport.RoundTrip(r)
	})})
	first, _ := latest(t, src)
	broken = true
	if _, _, err := src.Latest(t.Context()); !errors.Is(err, gitsource.ErrUnreachable) {
		t.Errorf("Latest of a server that is down = %v, want %v", err, gitsource.ErrUnreachable)
	}
	if got := content(t, first.FS, "README.md"); got != "fleet\n" {
		t.Errorf("README.md after a failed look = %q, want it still readable", got)
	}
	broken = false
	if got, changed := latest(t, src); changed || got != first {
		t.Errorf("Latest afterwards = %v, changed %v, want the same snapshot", got.Revision, changed)
	}
}

func TestEmptyAndAbsentRepositories(t *testing.T) {
	t.Parallel()
	empty, err := gitd.Init(filepath.Join(t.TempDir(), "empty.git"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Repo: empty}
	for way, options := range origins(t, f) {
		for _, ref := range []string{"", "main", "1234567", strings.Repeat("1", 40)} {
			options.Ref = ref
			_, _, err := open(t, options).Latest(t.Context())
			if !errors.Is(err, gitsource.ErrEmpty) || remedy.Of(err) != remedy.Hold {
				t.Errorf("%s: Latest of %q of an empty repository = %v, want %v", way, ref, err, gitsource.ErrEmpty)
			}
		}
	}
	for _, url := range []string{t.TempDir(), filepath.Join(t.TempDir(), "nowhere")} {
		if _, _, err := open(t, gitsource.Options{URL: url}).Latest(t.Context()); !errors.Is(err, gitsource.ErrNoRepository) {
			t.Errorf("Latest of %s = %v, want %v", url, err, gitsource.ErrNoRepository)
		}
	}
}

func TestCancelledContext(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for way, options := range origins(t, f) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := open(t, options).Latest(ctx)
		if !errors.Is(err, context.Canceled) || remedy.Of(err) != remedy.Retry {
			t.Errorf("%s: Latest = %v (remedy %v), want %v (remedy retry)", way, err, remedy.Of(err), context.Canceled)
		}
	}
	// In the middle of the fetch.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := f.serve(t, gitd.Options{})
	src := open(t, gitsource.Options{URL: server.URL, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost {
			cancel()
		}
		return http.DefaultTransport.RoundTrip(r)
	})})
	if _, _, err := src.Latest(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Latest cancelled during the fetch = %v, want %v", err, context.Canceled)
	}
}

func TestWorkDirIsLeftEmpty(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	server := f.serve(t, gitd.Options{Git: gitBinary(t)})
	dir := t.TempDir()
	count := func() int {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	src := open(t, gitsource.Options{URL: server.URL, Ref: "main", WorkDir: dir})
	for _, commit := range []string{f.first, f.second, f.third} {
		f.do(t, f.SetBranch("main", commit))
		latest(t, src)
		if got := count(); got != 1 {
			t.Errorf("directories in use = %d, want 1", got)
		}
	}
	if err := src.Close(); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != 0 {
		t.Errorf("directories after Close = %d, want 0", got)
	}
	if _, _, err := src.Latest(t.Context()); !errors.Is(err, gitsource.ErrClosed) {
		t.Errorf("Latest after Close = %v, want %v", err, gitsource.ErrClosed)
	}
	limited := open(t, gitsource.Options{URL: server.URL, Ref: "main", WorkDir: dir, Limits: gitsource.Limits{Files: 1}})
	if _, _, err := limited.Latest(t.Context()); !errors.Is(err, gitsource.ErrLimit) || count() != 0 {
		t.Errorf("refused fetch = %v and %d directories, want %v and none", err, count(), gitsource.ErrLimit)
	}
}
