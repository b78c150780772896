package awsd_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

// Each reader learns of a write after its own delay, and not a moment sooner.
func TestConsistency(t *testing.T) {
	t.Parallel()
	delays := awsd.Consistency{
		RoleReads: 2 * time.Second, Trust: 5 * time.Second, AssociationReads: 3 * time.Second,
		AssociationAdmission: 8 * time.Second, AssociationCredentials: 6 * time.Second,
	}
	w := newWorld(t, awsd.Options{Consistency: delays})
	w.must(w.PutRole(awsd.Role{ARN: reader, Trust: irsaTrust("system:serviceaccount:demo:x")}))
	web := awsd.Claims{Issuer: issuer, Namespace: "demo", ServiceAccount: "x", Audience: []string{"sts.amazonaws.com"}}
	shown := func() bool {
		out, err := w.iam(acct).GetRole(w.ctx(), &iam.GetRoleInput{RoleName: aws.String("eks-irsa-lab-demo-s3-reader-role")})
		w.must(err)
		return strings.Contains(*out.Role.AssumeRolePolicyDocument, "pods.eks")
	}
	w.must(w.putTrust(podTrust))
	if r, _ := w.Role(reader); r.Trust != podTrust {
		t.Error("truth after the write: got the old trust")
	}
	for second := range 7 {
		if got, want := shown(), second >= 2; got != want {
			t.Errorf("second %d: GetRole shows the write: got %v, want %v", second, got, want)
		}
		if got, want := w.MayAssumeWebIdentity(reader, web).Allowed, second < 5; got != want {
			t.Errorf("second %d: STS honours the old trust: got %v, want %v", second, got, want)
		}
		if second < 5 {
			_, err := w.eks(acct).CreatePodIdentityAssociation(w.ctx(), create("demo", "x", reader))
			wantError(t, err, "InvalidParameterException", 400, "Trust policy of the role provided is invalid")
		}
		w.clock.Advance(time.Second)
	}
	made, err := w.eks(acct).CreatePodIdentityAssociation(w.ctx(), create("demo", "x", reader))
	w.must(err)
	id := made.Association.AssociationId
	check := func(what string, present bool) {
		t.Helper()
		for second := range 10 {
			seen := func(delay time.Duration) bool { return present == (time.Duration(second)*time.Second >= delay) }
			list, err := w.eks(acct).ListPodIdentityAssociations(w.ctx(), &eks.ListPodIdentityAssociationsInput{ClusterName: cluster})
			w.must(err)
			_, err = w.eks(acct).DescribePodIdentityAssociation(w.ctx(), &eks.DescribePodIdentityAssociationInput{ClusterName: cluster, AssociationId: id})
			role, webhook := w.AssociationVisible(lab, "demo", "x")
			got := [4]bool{len(list.Associations) == 1, err == nil, webhook, w.MayAssumePodIdentity(lab, "demo", "x", "p").Allowed}
			want := [4]bool{seen(3 * time.Second), seen(3 * time.Second), seen(8 * time.Second), seen(6 * time.Second)}
			if got != want || webhook && role != reader {
				t.Errorf("second %d after %s: list, describe, webhook, EKS Auth see it: got %v, want %v", second, what, got, want)
			}
			w.clock.Advance(time.Second)
		}
	}
	// The writer's own check is not delayed: a second create finds the first at once.
	_, err = w.eks(acct).CreatePodIdentityAssociation(w.ctx(), create("demo", "x", reader))
	wantError(t, err, "ResourceInUseException", 409, *id)
	check("create", true)
	_, err = w.eks(acct).DeletePodIdentityAssociation(w.ctx(), &eks.DeletePodIdentityAssociationInput{ClusterName: cluster, AssociationId: id})
	w.must(err)
	check("delete", false)
}

// An update shows the old role until its time, and setters are seen at once.
func TestConsistencyOfUpdates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{Consistency: awsd.Consistency{AssociationAdmission: time.Minute}})
	second := "arn:aws:iam::123456789012:role/second"
	w.must(w.PutRole(awsd.Role{ARN: second, Trust: podTrust}))
	a, err := w.PutAssociation(awsd.Association{Cluster: lab, Namespace: "demo", ServiceAccount: "x", RoleARN: reader})
	w.must(err)
	_, err = w.eks(acct).UpdatePodIdentityAssociation(w.ctx(), &eks.UpdatePodIdentityAssociationInput{ClusterName: cluster, AssociationId: &a.ID, RoleArn: &second})
	w.must(err)
	for _, want := range []string{reader, second} {
		if got, _ := w.AssociationVisible(lab, "demo", "x"); got != want {
			t.Errorf("the webhook sees: got %s, want %s", got, want)
		}
		w.clock.Advance(time.Minute)
	}
	// Delete and create within the delay: the webhook still shows the first, then the second.
	_, err = w.eks(acct).DeletePodIdentityAssociation(w.ctx(), &eks.DeletePodIdentityAssociationInput{ClusterName: cluster, AssociationId: &a.ID})
	w.must(err)
	w.clock.Advance(time.Second)
	_, err = w.eks(acct).CreatePodIdentityAssociation(w.ctx(), create("demo", "x", reader))
	w.must(err)
	for _, want := range []string{second, "", reader} {
		if got, _ := w.AssociationVisible(lab, "demo", "x"); got != want {
			t.Errorf("the webhook sees after delete and create: got %q, want %q", got, want)
		}
		if want == second {
			w.clock.Advance(59 * time.Second)
		} else {
			w.clock.Advance(time.Second)
		}
	}
	if !w.DeleteAssociation(lab, "demo", "x") {
		t.Fatal("delete: got false")
	}
	if _, ok := w.AssociationVisible(lab, "demo", "x"); ok {
		t.Error("the webhook sees what a setter deleted")
	}
}

// Long runs do not grow: what no reader can see any more is forgotten, and what is there
// stays right.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{Consistency: awsd.Consistency{AssociationReads: time.Hour, RoleReads: time.Hour}})
	for i := range 30 {
		w.must(w.putTrust([]string{podTrust, irsaTrust("x")}[i%2]))
		w.clock.Advance(10 * time.Minute)
		out, err := w.iam(acct).GetRole(w.ctx(), &iam.GetRoleInput{RoleName: aws.String("eks-irsa-lab-demo-s3-reader-role")})
		w.must(err)
		if got, want := strings.Contains(*out.Role.AssumeRolePolicyDocument, "pods.eks"), i < 5 || i%2 == 1; got != want {
			t.Errorf("write %d: an hour ago the trust was for pods: got %v, want %v", i, got, want)
		}
	}
	w.must(w.putTrust(podTrust))
	for range 5 {
		made, err := w.eks(acct).CreatePodIdentityAssociation(w.ctx(), create("demo", "x", reader))
		w.must(err)
		_, err = w.eks(acct).DeletePodIdentityAssociation(w.ctx(), &eks.DeletePodIdentityAssociationInput{ClusterName: cluster, AssociationId: made.Association.AssociationId})
		w.must(err)
		w.clock.Advance(2 * time.Hour)
	}
	if n := len(w.Associations(lab)); n != 0 {
		t.Errorf("associations in the end: got %d, want 0", n)
	}
}

func TestListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "localhost:0", "127.0.0.1", "[::]:0"} {
		s := awsd.New(awsd.Options{})
		if url, err := s.Start(address); err == nil {
			s.Close()
			t.Errorf("Start(%q): got %s, want an error", address, url)
		}
	}
	s := awsd.New(awsd.Options{})
	if _, err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start("127.0.0.1:0"); err == nil {
		t.Error("second Start: got no error")
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := s.Start("127.0.0.1:0"); err == nil {
		t.Error("Start after Close: got no error")
	}
}

// The handler itself refuses what did not come over loopback, whoever listens for it.
func TestHandlerAnswersOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]int{"192.0.2.1": http.StatusForbidden, "127.0.0.1": http.StatusBadRequest} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:0/", nil)
		r = r.WithContext(contextWithLocal(r, address))
		rec := httptest.NewRecorder()
		awsd.New(awsd.Options{}).Handler().ServeHTTP(rec, r)
		if rec.Code != want {
			t.Errorf("request to %s: got %d, want %d", address, rec.Code, want)
		}
	}
	big := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 2<<20)))
	rec := httptest.NewRecorder()
	awsd.New(awsd.Options{}).Handler().ServeHTTP(rec, big)
	if rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MiB: got %d, want 413", rec.Code)
	}
}

// A web page that has bound a name of its own to 127.0.0.1, or that sends across origins,
// gets nothing, and leaves nothing on record.
func TestHandlerAnswersNoWebPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	_, port, _ := strings.Cut(strings.TrimPrefix(w.url, "http://"), ":")
	for _, tt := range []struct {
		host, origin string
		want         int
	}{
		{"127.0.0.1:" + port, "", http.StatusBadRequest},
		{"localhost:" + port, "", http.StatusBadRequest},
		{"LOCALHOST:" + port, "", http.StatusBadRequest},
		{"[::1]:" + port, "", http.StatusBadRequest},
		{"rebound.example:" + port, "", http.StatusForbidden},
		{"localhost.rebound.example:" + port, "", http.StatusForbidden},
		{"192.0.2.1:" + port, "", http.StatusForbidden},
		{"127.0.0.1:1", "", http.StatusForbidden},
		{"127.0.0.1", "", http.StatusForbidden},
		{"127.0.0.1:" + port, "https://rebound.example", http.StatusForbidden},
		{"127.0.0.1:" + port, "null", http.StatusForbidden},
	} {
		_, before := w.Calls(0)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url, nil)
		w.must(err)
		r.Host = tt.host
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		res, err := http.DefaultClient.Do(r)
		w.must(err)
		w.must(res.Body.Close())
		if _, after := w.Calls(0); res.StatusCode != tt.want || (after > before) != (tt.want == http.StatusBadRequest) {
			t.Errorf("host %q, origin %q: got %d and %d calls on record, want %d", tt.host, tt.origin, res.StatusCode, after-before, tt.want)
		}
	}
}

func TestSetConsistencyRefusesMoreThanAnHour(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a delay of two hours: got no panic")
		}
	}()
	awsd.New(awsd.Options{Consistency: awsd.Consistency{Trust: 2 * time.Hour}})
}

func contextWithLocal(r *http.Request, ip string) context.Context {
	return context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(ip)})
}
