//go:build nightly

package app_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
	"github.com/lanyard-io/lanyard/internal/sandbox/hubd"
)

// TestReaction measures how long a daemon at its default pace takes from a push to the
// comment that speaks of it, and from a merge to the first write that it leads to, with a
// hook and without. It runs in real time, for about a quarter of an hour.
func TestReaction(t *testing.T) {
	const samples = 9
	for _, hooked := range []bool{true, false} {
		t.Run(fmt.Sprintf("hook=%t", hooked), func(t *testing.T) {
			t.Parallel()
			r := newReviewed(t)
			secret := filepath.Join(t.TempDir(), "hook")
			r.write(t, secret, "s3cret\n")
			began := time.Now()
			d := r.start(t, func(o *app.DaemonOptions) {
				o.Sleep, o.Pulls = nil, app.PullsPace{} // the pace of the shipped program
				o.Now = func() time.Time { return r.Clock.Now().Add(time.Since(began)) }
				o.HookListen, o.HookSecrets = "127.0.0.1:0", map[string][]string{"github": {secret}}
			})
			tell := func(event string) {
				if hooked {
					d.deliver(t, event)
				}
			}
			n := r.open(t, hubd.Pull{Branch: "flip"}, r.file(t, "demo/s3-reader.yaml", "mechanism: irsa", "mechanism: pod-identity"))
			within(t, "a first comment", func() bool { body, _ := r.comment(t, n); return body != "" })
			r.merge(t, -1) // what differed before is repaired first, which takes some settling
			time.Sleep(100 * time.Second)
			var comments, writes []time.Duration
			for i := range samples {
				time.Sleep(6*time.Second + rand.N(20*time.Second)) // at any moment of its interval
				start := time.Now()
				head := r.push(t, n, "flip", map[string]string{"demo/s3-reader.yaml": r.file(t, "demo/s3-reader.yaml", "mechanism: irsa", "mechanism: pod-identity")["demo/s3-reader.yaml"] + fmt.Sprintf("# %d\n", i)})
				tell("pull_request")
				within(t, "the comment", func() bool { body, _ := r.comment(t, n); return strings.Contains(body, head) })
				comments = append(comments, time.Since(start))

				time.Sleep(6*time.Second + rand.N(20*time.Second))
				before := len(r.identityWrites())
				start = time.Now()
				r.merge(t, i)
				tell("push")
				within(t, "a write", func() bool { return len(r.identityWrites()) > before })
				writes = append(writes, time.Since(start))
			}
			t.Logf("from push to comment: %s", spread(comments))
			t.Logf("from merge to first write: %s", spread(writes))
		})
	}
}

// merge changes on main how long the tokens of demo2/s3-reader live: an annotation.
func (r *reviewed) merge(t *testing.T, i int) {
	t.Helper()
	text := r.file(t, "demo2/s3-reader.yaml", "\nspec:\n", fmt.Sprintf("\nspec:\n  irsa: {tokenExpiration: %dm}\n", 60+i))
	if _, err := r.repo.Commit(gitd.Change{Branch: "main", Write: text, By: gitd.By(r.Clock.Now())}); err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within three minutes: %s", what)
}

func spread(all []time.Duration) string {
	slices.Sort(all)
	return fmt.Sprintf("median %s (%s, %s) of %d", all[len(all)/2].Round(time.Millisecond), all[0].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond), len(all))
}
