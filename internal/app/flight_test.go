package app_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/sync/report"
)

const (
	readerRole = "arn:aws:iam::123456789012:role/eks-irsa-lab-demo-s3-reader-role"
	secondRole = "arn:aws:iam::123456789012:role/eks-irsa-lab-demo-s3-second-role"
)

// flight carries the workload from IRSA to Pod Identity, and lets something happen right
// after the first write of a kind. It returns the writes from then on, each with its
// plane's object, and what is held at the end.
func (s *stage) flight(t *testing.T, after string, happen func()) (writes []string, held []string) {
	t.Helper()
	happened, deleted := false, false
	r, err := s.syncer(t).Rest(t.Context(), 48*time.Hour, func(r report.Round) {
		for _, o := range r.Outcomes {
			t.Logf("%s %s %s %v", s.Clock.Now().Format("15:04:05"), o.Result, o.Step.Action, o.Err)
			deleted = deleted || o.Wrote() && o.Step.Action.Kind() == "delete-association" // from here on law 1's exposure
			if o.Wrote() && happened {
				writes = append(writes, o.Step.Action.Kind())
			}
		}
		if !happened && slices.ContainsFunc(r.Outcomes, func(o report.Outcome) bool { return o.Wrote() && o.Step.Action.Kind() == after }) {
			happened = true
			happen()
		}
		for _, p := range s.pods(t) {
			for _, g := range s.Grants(&p) {
				if g.Role == "" && !(deleted && g.Mechanism == "pod-identity") {
					t.Errorf("%s: pod %s gets no credentials: %s", s.Clock.Now().Format("15:04:05"), p.Name, g.Reason)
				}
			}
		}
	})
	if err != nil || !happened {
		t.Fatalf("it happened: %t; %v", happened, err)
	}
	for _, h := range r.Plan.Holds {
		held = append(held, string(h.Reason))
	}
	for _, f := range r.Result.Findings {
		if f.Subject.String() == "demo/s3-reader" {
			held = append(held, string(f.Kind))
		}
	}
	return writes, held
}

// pods are the subject's.
func (s *stage) pods(t *testing.T) (out []corev1.Pod) {
	t.Helper()
	list, err := s.Client("judge").CoreV1().Pods("demo").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list.Items {
		if p.Spec.ServiceAccountName == "s3-reader" && p.DeletionTimestamp == nil {
			out = append(out, p)
		}
	}
	return out
}

// rewrite changes what Git wants while lanyard runs.
func (s *stage) rewrite(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.opts.Desired.Dirs[0], "s3-reader.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// association returns the subject's association, over the wire.
func (s *stage) association(t *testing.T) (id, role string) {
	t.Helper()
	out, err := s.eks().ListPodIdentityAssociations(t.Context(), &eks.ListPodIdentityAssociationsInput{ClusterName: aws.String("irsa-lab"), Namespace: aws.String("demo"), ServiceAccount: aws.String("s3-reader")})
	if err != nil || len(out.Associations) == 0 {
		return "", ""
	}
	id = aws.ToString(out.Associations[0].AssociationId)
	d, err := s.eks().DescribePodIdentityAssociation(t.Context(), &eks.DescribePodIdentityAssociationInput{ClusterName: aws.String("irsa-lab"), AssociationId: &id})
	if err != nil {
		t.Fatal(err)
	}
	return id, aws.ToString(d.Association.RoleArn)
}

func (s *stage) eks() *eks.Client { return eks.NewFromConfig(*s.opts.AWS) }

// TestChangeInFlight: what changes while a workload is on its way (design.md section 6).
// No pod is ever without credentials, but those that a way back exposes.
func TestChangeInFlight(t *testing.T) {
	t.Parallel()
	ended := func(t *testing.T, s *stage, on, role string, want, got, held []string) {
		t.Helper()
		if _, have := s.association(t); !slices.Equal(got, want) || s.on(t) != on || have != role {
			t.Errorf("wrote %q, want %q; its pods are on %q, want %q; the association has role %q, want %q; held %q", got, want, s.on(t), on, have, role, held)
		}
	}
	for name, test := range map[string]func(t *testing.T, s *stage){
		"the role": func(t *testing.T, s *stage) {
			if err := s.AWS.PutRole(awsd.Role{ARN: secondRole, Trust: `{"Version":"2012-10-17","Statement":[{"Sid":"Admins","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}`}); err != nil {
				t.Fatal(err)
			}
			var changed time.Time
			got, held := s.flight(t, "evict-pod", func() {
				changed = s.Clock.Now()
				s.rewrite(t, strings.Replace(mapping("pod-identity"), readerRole, secondRole, 1))
			})
			ended(t, s, "pod-identity", secondRole, []string{"put-trust-statement", "update-association", "evict-pod", "evict-pod", "drop-annotation", "drop-trust-statement"}, got, held)
			for _, p := range s.pods(t) {
				if p.CreationTimestamp.Time.Before(changed) {
					t.Errorf("pod %s is from before the change, and may hold the role of before for six hours", p.Name)
				}
			}
		},
		"the mechanism": func(t *testing.T, s *stage) {
			got, held := s.flight(t, "evict-pod", func() { s.rewrite(t, mapping("irsa")) })
			ended(t, s, "irsa", "", []string{"delete-association", "evict-pod", "revoke-trust"}, got, held)
		},
		"the mapping is gone": func(t *testing.T, s *stage) {
			before := s.on(t)
			got, held := s.flight(t, "evict-pod", func() { s.rewrite(t, "") })
			ended(t, s, before+", pod-identity", readerRole, nil, got, held)
			if !slices.Contains(held, "mapping-gone") {
				t.Errorf("nothing says that it is gone: %q", held)
			}
		},
		"the ServiceAccount is gone": func(t *testing.T, s *stage) {
			got, held := s.flight(t, "put-trust-statement", func() {
				if err := s.Client("somebody").CoreV1().ServiceAccounts("demo").Delete(t.Context(), "s3-reader", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			})
			ended(t, s, "irsa", "", nil, got, held)
		},
		"the namespace ends": func(t *testing.T, s *stage) {
			got, held := s.flight(t, "put-trust-statement", func() {
				ns, err := s.Client("somebody").CoreV1().Namespaces().Get(t.Context(), "demo", metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				ns.Status.Phase = corev1.NamespaceTerminating
				if _, err := s.Client("somebody").CoreV1().Namespaces().UpdateStatus(t.Context(), ns, metav1.UpdateOptions{}); err != nil {
					t.Fatal(err)
				}
			})
			ended(t, s, "irsa", "", nil, got, held)
		},
		"the trust, by another hand": func(t *testing.T, s *stage) {
			before, _ := s.AWS.Role(readerRole)
			got, held := s.flight(t, "put-trust-statement", func() {
				if err := s.AWS.PutRole(before); err != nil {
					t.Fatal(err)
				}
			})
			ended(t, s, "pod-identity", readerRole, []string{"put-trust-statement", "create-association", "evict-pod", "evict-pod", "drop-annotation", "revoke-trust"}, got, held)
		},
		"the association, by another hand": func(t *testing.T, s *stage) {
			other := "arn:aws:iam::123456789012:role/by-another-hand"
			if err := s.AWS.PutRole(awsd.Role{ARN: other, Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`}); err != nil {
				t.Fatal(err)
			}
			got, held := s.flight(t, "evict-pod", func() {
				id, _ := s.association(t)
				if _, err := s.eks().UpdatePodIdentityAssociation(t.Context(), &eks.UpdatePodIdentityAssociationInput{ClusterName: aws.String("irsa-lab"), AssociationId: &id, RoleArn: &other}); err != nil {
					t.Fatal(err)
				}
			})
			ended(t, s, "pod-identity", readerRole, []string{"update-association", "evict-pod", "evict-pod", "drop-annotation", "revoke-trust"}, got, held)
		},
		"the cluster is upgraded": func(t *testing.T, s *stage) {
			got, held := s.flight(t, "create-association", func() { s.upgrade(t) })
			ended(t, s, "pod-identity", readerRole, []string{"evict-pod", "evict-pod", "drop-annotation", "revoke-trust"}, got, held)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, mover(t, "pod-identity"))
		})
	}
}

// upgrade puts the cluster into the middle of an upgrade: EKS says so, and a new node has
// joined whose agent is not there yet.
func (s *stage) upgrade(t *testing.T) {
	t.Helper()
	c, known := s.AWS.Cluster("arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab")
	if !known {
		t.Fatal("no cluster")
	}
	c.Status, c.Version, c.PlatformVersion = "UPDATING", "1.36", "eks.1"
	if err := s.AWS.PutCluster(c); err != nil {
		t.Fatal(err)
	}
	nodes, err := s.Client("judge").CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node := nodes.Items[0].DeepCopy()
	node.Name, node.UID, node.ResourceVersion, node.CreationTimestamp = "new", "new", "", metav1.NewTime(s.Clock.Now())
	if _, err := s.Client("eks").CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
