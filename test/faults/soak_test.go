package faults_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/sync/report"
)

// use is what a process holds.
type use struct {
	heap       int64 // bytes that are alive after a collection
	goroutines int
	files      int // open ones, connections included
}

func (u use) String() string {
	return fmt.Sprintf("%.2f MiB, %d goroutines, %d files", float64(u.heap)/(1<<20), u.goroutines, u.files)
}

// using measures this process. Tests that call it run alone.
func using() use {
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := use{heap: int64(m.HeapAlloc), goroutines: runtime.NumGoroutine()}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil { // Linux
		u.files = len(open)
	}
	return u
}

// settles measures until goroutines and files are no more than they were: what ends
// takes a moment.
func settles(was use) use {
	now := using()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && (now.goroutines > was.goroutines || now.files > was.files); now = using() {
		time.Sleep(50 * time.Millisecond)
	}
	return now
}

// slope is by how much a figure grows a round: the median of the slopes between any two
// samples (Theil and Sen), which a few idle connections that are closed for a moment do
// not bend.
func slope(rounds []int, figure []float64) float64 {
	var all []float64
	for i := range rounds {
		for j := range i {
			all = append(all, (figure[i]-figure[j])/float64(rounds[i]-rounds[j]))
		}
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// TestSlope: the dip of the run that failed is no leak, and one more file every fifty
// rounds is.
func TestSlope(t *testing.T) {
	t.Parallel()
	var rounds []int
	var leak []float64
	dips := []float64{22, 22, 22, 22, 20, 18, 22, 22, 22, 22, 22, 22, 20, 22, 22, 22, 22, 22, 20, 22, 22, 22, 22, 22, 22}
	for i, n := range dips {
		rounds = append(rounds, 4*i)
		leak = append(leak, n+float64(4*i/50))
	}
	if got := slope(rounds, dips); got != 0 {
		t.Errorf("dips: %f a round, want 0", got)
	}
	if got := slope(rounds, leak); got < 0.01 {
		t.Errorf("a leak of one in fifty: %f a round, want 0.01 and more", got)
	}
}

// churner makes the world change under a daemon.
type churner struct {
	*rig
	random *rand.Rand
	n      int
	lifts  []func()
}

// churn is one round's worth: pods go and come, people and other tools write, Git moves,
// hooks knock, calls fail, the configuration changes, Prometheus scrapes.
func (c *churner) churn(ctx context.Context, d *running) error {
	c.n++
	for _, lift := range c.lifts {
		lift()
	}
	c.lifts = nil
	every := func(n int, what func() error) error {
		if c.n%n != 0 {
			return nil
		}
		return what()
	}
	for _, step := range []struct {
		every int
		what  func() error
	}{
		{1, func() error { return c.pods(ctx) }},
		{1, func() error { return scrape(ctx, d) }},
		{2, func() error { return c.strangers(ctx) }},
		{3, c.failAWS},
		{50, c.failKube}, // client-go waits for up to half a minute of the wall clock after each
		{5, func() error { _, err := c.knock(ctx, d, c.n); return err }},
		{45, func() error { return c.drift(ctx) }}, // more often would be a conflict
		{20, c.push},
		{50, c.reconfigure},
	} {
		if err := every(step.every, step.what); err != nil {
			return err
		}
	}
	return nil
}

// pods deletes some, which their owners make again.
func (c *churner) pods(ctx context.Context) error {
	client := c.Client("kubectl").CoreV1()
	all, err := client.Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for range 3 {
		p := all.Items[c.random.IntN(len(all.Items))]
		if len(p.OwnerReferences) == 0 {
			continue
		}
		if err := client.Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// strangers makes a ServiceAccount that Git does not name, and takes the last one away.
func (c *churner) strangers(ctx context.Context) error {
	accounts := c.Client("kubectl").CoreV1().ServiceAccounts("default")
	name := func(n int) string { return fmt.Sprintf("stranger-%d", n) }
	_, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name(c.n),
		Annotations: map[string]string{"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/" + name(c.n)}}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if err := accounts.Delete(ctx, name(c.n-2), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

// failAWS lets calls to AWS go wrong until the next round.
func (c *churner) failAWS() error {
	kinds := []awsd.Kind{awsd.Throttle, awsd.Fail, awsd.Cut, awsd.Refuse}
	c.lifts = append(c.lifts, c.AWS.AddFault(awsd.Fault{Kind: kinds[c.random.IntN(len(kinds))], Times: 1 + c.random.IntN(4)}))
	return nil
}

// failKube lets a call to the API server go wrong.
func (c *churner) failKube() error {
	failures := []kubed.Failure{kubed.Forbidden, kubed.Throttled, kubed.TimedOut, kubed.Broken}
	c.lifts = append(c.lifts, c.Kube.Inject(kubed.Fault{User: "lanyard", Verb: []string{"list", "watch", "create", "patch"}[c.random.IntN(4)],
		Failure: failures[c.random.IntN(len(failures))], Times: 1}))
	return nil
}

// drift changes by hand what Git manages, and what no pod's credentials hang on.
func (c *churner) drift(ctx context.Context) error {
	_, err := c.Client("kubectl").CoreV1().ServiceAccounts("kube-system").Patch(ctx, "aws-load-balancer-controller", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"eks.amazonaws.com/token-expiration":null}}}`), metav1.PatchOptions{})
	return err
}

// push moves Git: mostly by a good commit, at times by one that is to be held.
func (c *churner) push() error {
	write := map[string]string{"note.txt": fmt.Sprint("round ", c.n), "broken.yaml": "# empty\n"}
	if c.n%100 == 0 {
		write["broken.yaml"] = "apiVersion: lanyard.io/v1alpha1\nkind: nonsense\n"
	}
	_, err := c.repo.Commit(gitd.Change{Branch: "main", Write: write, By: gitd.By(c.Clock.Now())})
	return err
}

// reconfigure changes a guard rail, and every fourth time what needs new clients.
func (c *churner) reconfigure() error { return c.configure(60+c.n/200%2, 20+c.n/50%2) }

// manage lets Git manage what drifts.
func (c *churner) manage() error {
	const file = "kube-system/aws-load-balancer-controller.yaml"
	data, err := fs.ReadFile(examples.Fleet(), file)
	if err != nil {
		return err
	}
	text := strings.Replace(string(data), "spec:\n", "spec:\n  irsa: {tokenExpiration: 2h}\n", 1)
	_, err = c.repo.Commit(gitd.Change{Branch: "main", Write: map[string]string{file: text}, By: gitd.By(c.Clock.Now())})
	return err
}

// forget empties the records of the sandbox and the judge, which hold every call.
func (c *churner) forget() {
	c.judge.round(report.Round{})
	c.AWS.ForgetCalls()
	c.Kube.ForgetCalls()
	c.git.Forget()
}

// knock sends a hook.
func (c *churner) knock(ctx context.Context, d *running, n int) (code int, err error) {
	at, body := strconv.FormatInt(time.Now().Unix(), 10), fmt.Sprintf(`{"n":%d}`, n)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "." + body))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.HookAddr().String()+"/hook/generic", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("X-Lanyard-Timestamp", at)
	req.Header.Set("X-Lanyard-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	return ask(req)
}

// ask sends a request, reads the answer and drops it.
func ask(req *http.Request) (code int, err error) {
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, errors.Join(err, answer.Body.Close())
}

// scrape is Prometheus and a person with a page.
func scrape(ctx context.Context, d *running) error {
	for _, path := range []string{"/metrics", "/api/v1/status", "/api/v1/snapshot"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.Addr().String()+path, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		if _, err := ask(req); err != nil {
			return err
		}
	}
	return nil
}

// length is how long a soak goes on, and how much of that is not judged: caches fill.
type length struct {
	rounds, warm, samples int
	most                  float64 // bytes that memory may grow a round
}

func soakLength() length {
	if nightly {
		return length{1000, 250, 50, 2 << 10}
	}
	// Fifty rounds tell no more: what fills late moves this slope by 20 KiB on a busy machine.
	return length{75, 25, 25, 64 << 10}
}

// TestSoak: a daemon runs for a thousand rounds while everything around it changes and
// fails. After the warm-up the memory, goroutines and open files of it and the sandbox
// are flat; the laws held after each write, and nothing is left after it was closed.
func TestSoak(t *testing.T) { // alone: it measures the process
	before := using()
	r := rigOf(t, gone)
	d, err := r.start()
	if err != nil {
		t.Fatal(err)
	}
	long := soakLength()
	const seed = 1
	c := &churner{rig: r, random: rand.New(rand.NewPCG(seed, seed))}
	if err := c.manage(); err != nil {
		t.Fatal(err)
	}
	var rounds []int
	var heap, goroutines, files []float64
	start, wall := r.Clock.Now(), time.Now()
	for n := 0; n < long.rounds; n++ {
		if err := c.churn(t.Context(), d); err != nil {
			t.Fatalf("round %d: %v", n, err)
		}
		was := r.rounds.tries()
		if !r.until(t.Context(), func() bool { return r.rounds.tries() > was }) {
			t.Fatalf("no round after number %d: the log has %q", n, r.rounds.failed)
		}
		c.forget()
		if n >= long.warm && n%((long.rounds-long.warm)/long.samples) == 0 {
			u := using()
			rounds, heap, goroutines, files = append(rounds, n), append(heap, float64(u.heap)), append(goroutines, float64(u.goroutines)), append(files, float64(u.files))
		}
	}
	t.Logf("%d whole rounds and %d that failed, %s of the world's time, in %s", r.rounds.n, r.rounds.errors, r.Clock.Now().Sub(start).Round(time.Minute), time.Since(wall).Round(time.Second))
	for _, f := range []struct {
		what   string
		figure []float64
		most   float64 // that it may grow a round
		unit   string
	}{
		{"memory", heap, long.most, "bytes"},
		{"goroutines", goroutines, 0.01, "goroutines"},
		{"open files", files, 0.01, "files"},
	} {
		grows := slope(rounds, f.figure)
		t.Logf("%s: from %.0f to %.0f, %+.3f %s a round", f.what, f.figure[0], f.figure[len(f.figure)-1], grows, f.unit)
		if grows > f.most {
			t.Errorf("%s grows by %.3f %s a round, %v", f.what, grows, f.unit, f.figure)
		}
	}
	if err := d.stop(); err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
	for _, b := range r.judge.verdict() {
		t.Error(b)
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
	if after := settles(before); after.goroutines > before.goroutines || after.files > before.files {
		t.Errorf("left after Close: %s; there were %s\n%s", after, before, stacks())
	}
}

// stacks says what the goroutines do.
func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}
