//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/report"
)

// The tests here have another writer beside lanyard, and let the API server judge
// between them.

const (
	sharedRole = "arn:aws:iam::" + labAccount + ":role/shared"
	otherRole  = "arn:aws:iam::" + labAccount + ":role/other"
)

// shared is the mapping of a ServiceAccount that others write as well; nothing runs as it.
func shared(adopt string) map[string]string {
	return map[string]string{"shared.yaml": identityFile("shared", sharedRole, "  mechanism: irsa\n  adopt: ["+adopt+"]\n")}
}

// newShared is an operator of that mapping alone, whose role trusts nobody yet.
func newShared(t *testing.T, adopt string) *operator {
	t.Helper()
	o := newOperator(t, shared(adopt))
	o.trust(sharedRole, distrust)
	return o
}

// argocd applies the ServiceAccount server-side as another manager would, with the role
// or, where it is empty, without the annotation.
func (o *operator) argocd(role string, force bool) error {
	account := applycore.ServiceAccount("shared", o.ns)
	if role != "" {
		account = account.WithAnnotations(map[string]string{actors.RoleARNAnnotation: role})
	}
	_, err := o.kube.CoreV1().ServiceAccounts(o.ns).Apply(o.t.Context(), account, metav1.ApplyOptions{FieldManager: "argocd-controller", Force: force})
	return err
}

// kubectl makes the ServiceAccount.
func (o *operator) kubectl(name, role string) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if role != "" {
		account.Annotations = map[string]string{actors.RoleARNAnnotation: role}
	}
	_, err := o.kube.CoreV1().ServiceAccounts(o.ns).Create(o.t.Context(), account, metav1.CreateOptions{FieldManager: "kubectl-create"})
	return err
}

// patchAccount merges a patch as a person would.
func (o *operator) patchAccount(name, patch string) error {
	_, err := o.kube.CoreV1().ServiceAccounts(o.ns).Patch(o.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	return err
}

// roleOf is what a ServiceAccount is annotated with, and by which managers.
func (o *operator) roleAnnotated(name string) (role, managers string, err error) {
	a, err := o.kube.CoreV1().ServiceAccounts(o.ns).Get(o.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return "", "", err
	}
	var owners []string
	for _, m := range a.ManagedFields {
		if m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), actors.RoleARNAnnotation) {
			owners = append(owners, m.Manager+":"+string(m.Operation))
		}
	}
	return a.Annotations[actors.RoleARNAnnotation], strings.Join(owners, " "), nil
}

// annotated waits until a ServiceAccount has a role, and it is of those managers.
func (o *operator) annotated(name, role, managers string) {
	o.t.Helper()
	eventually(o.t, "role "+role+" of "+name, func() error {
		r, m, err := o.roleAnnotated(name)
		return errors.Join(err, want("role", r, role), want("managers", m, managers))
	})
}

// found waits until a finding of that kind names a ServiceAccount, and returns it.
func (d *daemon) found(name string, kind diff.Kind) (found report.Finding) {
	d.o.t.Helper()
	eventually(d.o.t, string(kind)+" of "+name, func() error {
		all, err := d.findings()
		for _, f := range all {
			if f.Kind == kind && f.Namespace == d.o.ns && f.ServiceAccount == name {
				found = f
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("not in %v", all))
	})
	return found
}

// held waits until something about a ServiceAccount is held for a reason.
func (d *daemon) held(name, reason string) {
	d.o.t.Helper()
	eventually(d.o.t, reason+" of "+name, func() error {
		var body struct {
			Holds []struct{ Reason, Subject string }
		}
		code, err := d.get("/api/v1/plan", apiToken, &body)
		for _, h := range body.Holds {
			if h.Reason == reason && h.Subject == d.o.ns+"/"+name {
				return nil
			}
		}
		return errors.Join(err, want("status", code, http.StatusOK), fmt.Errorf("not in %+v", body.Holds))
	})
}

// codes are the API server's answers to lanyard's patches of a ServiceAccount.
func (o *operator) codes(name string) (codes []int) {
	for _, r := range o.asked() {
		if r.ObjectRef.Resource == "serviceaccounts" && r.ObjectRef.Name == name && r.ObjectRef.Namespace == o.ns && r.Verb == "patch" {
			codes = append(codes, r.ResponseStatus.Code)
		}
	}
	return codes
}

// TestAnotherManager: an annotation that another field manager applied is reported with
// its owner and left alone; once it is handed over lanyard has it, and the other
// manager's next apply is a conflict that names lanyard; adoption takes it by force.
func TestAnotherManager(t *testing.T) {
	o := newShared(t, "trust")
	o.must(o.argocd(otherRole, false))
	d := o.run("one")

	f := d.found("shared", diff.AnnotationMismatch)
	if f.Owner != "argocd-controller" {
		t.Errorf("the finding names owner %q, want argocd-controller: %+v", f.Owner, f)
	}
	d.held("shared", "owner-must-act")
	if e := o.told("shared", "IdentityFinding", string(diff.AnnotationMismatch)); e.Type != corev1.EventTypeWarning {
		t.Errorf("%s Event %q, want a warning", e.Type, e.Note)
	}
	d.rounds(2)
	o.annotated("shared", otherRole, "argocd-controller:Apply")

	o.must(o.argocd("", false)) // it hands over: what it no longer applies is removed
	o.annotated("shared", sharedRole, "lanyard:Apply")
	d.clear()
	if err := o.argocd(otherRole, false); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `"lanyard"`) {
		t.Errorf("the other manager's apply: %v, want a conflict with lanyard", err)
	}
	o.annotated("shared", sharedRole, "lanyard:Apply")

	o.must(o.argocd(otherRole, true))
	if f := d.found("shared", diff.AnnotationMismatch); f.Owner != "argocd-controller" {
		t.Errorf("the finding names owner %q, want argocd-controller: %+v", f.Owner, f)
	}
	d.rounds(2)
	o.annotated("shared", otherRole, "argocd-controller:Apply")
	o.push(shared("annotation, trust"))
	o.annotated("shared", sharedRole, "lanyard:Apply")
	d.clear()
}

// TestTugOfWar: against a writer that changes the annotation back each time, lanyard
// stops, says so, and begins again when nobody does.
func TestTugOfWar(t *testing.T) {
	o := newShared(t, "annotation, trust")
	o.must(o.argocd(otherRole, false))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if role, _, err := o.roleAnnotated("shared"); err == nil && role == sharedRole {
				_ = o.argocd(otherRole, true) // the next turn tries again
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	d := o.run("one")
	d.held("shared", "write-conflict")
	wrote := len(o.codes("shared"))
	d.rounds(3)
	if more := len(o.codes("shared")) - wrote; wrote < 2 || wrote > 4 || more != 0 {
		t.Errorf("%d patches, and %d more in three rounds; want two to four, and none", wrote, more)
	}
	cancel()
	<-done
	if f := d.found("shared", diff.AnnotationMismatch); f.Owner != "argocd-controller" {
		t.Errorf("the finding names owner %q, want argocd-controller: %+v", f.Owner, f)
	}
}

// TestChangedMeanwhile: what somebody writes between lanyard's look and its patch makes
// the API server refuse the patch, also one that is forced; nothing of it is lost, and
// the next round writes.
func TestChangedMeanwhile(t *testing.T) {
	o := newShared(t, "annotation, trust")
	o.must(o.kubectl("shared", otherRole))
	g := o.gated()
	g.beforePatch("shared", func() {
		if err := o.patchAccount("shared", `{"metadata":{"labels":{"team":"blue"}}}`); err != nil {
			t.Error(err)
		}
	})
	o.run("one").clear()
	o.annotated("shared", sharedRole, "lanyard:Apply")
	if got := fmt.Sprint(o.codes("shared")); got != "[409 200]" {
		t.Errorf("answers to patches: %s, want a conflict and then no other", got)
	}
	a, err := o.kube.CoreV1().ServiceAccounts(o.ns).Get(t.Context(), "shared", metav1.GetOptions{})
	o.must(err)
	if a.Labels["team"] != "blue" {
		t.Errorf("labels %v, want what was written meanwhile", a.Labels)
	}
}

// TestMadeAgain: a ServiceAccount that was deleted and made again between lanyard's look
// and its patch is another one: the patch is refused, and the new one is looked at
// first. One that was deleted is not created by the patch.
func TestMadeAgain(t *testing.T) {
	o := newShared(t, "annotation, trust")
	o.must(o.kubectl("shared", ""))
	before, err := o.kube.CoreV1().ServiceAccounts(o.ns).Get(t.Context(), "shared", metav1.GetOptions{})
	o.must(err)
	g := o.gated()
	again := func() error { // in the gate, so it must not end the test
		return errors.Join(o.kube.CoreV1().ServiceAccounts(o.ns).Delete(t.Context(), "shared", metav1.DeleteOptions{}), o.kubectl("shared", ""))
	}
	g.beforePatch("shared", func() {
		if err := again(); err != nil {
			t.Error(err)
		}
	})
	d := o.run("one")
	o.annotated("shared", sharedRole, "lanyard:Apply")
	after, err := o.kube.CoreV1().ServiceAccounts(o.ns).Get(t.Context(), "shared", metav1.GetOptions{})
	o.must(err)
	if got := fmt.Sprint(o.codes("shared")); got != "[409 200]" || before.UID == after.UID {
		t.Errorf("answers to patches: %s, uid %s and then %s; want a conflict, then no other, and another uid", got, before.UID, after.UID)
	}

	g.beforePatch("shared", func() {
		if err := o.kube.CoreV1().ServiceAccounts(o.ns).Delete(t.Context(), "shared", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	o.must(o.patchAccount("shared", `{"metadata":{"annotations":{"`+actors.RoleARNAnnotation+`":"`+otherRole+`"}}}`))
	d.found("shared", diff.ServiceAccountMissing)
	d.rounds(2)
	if _, err := o.kube.CoreV1().ServiceAccounts(o.ns).Get(t.Context(), "shared", metav1.GetOptions{}); !apierrors.IsNotFound(err) || !g.done("shared") {
		t.Errorf("after the ServiceAccount was deleted before a patch (%v): %v, want that there is none", g.done("shared"), err)
	}
	if got := fmt.Sprint(o.codes("shared")); got != "[409 200 409]" {
		t.Errorf("answers to patches: %s, want a conflict for the last", got)
	}
}

// TestDropped: when a mapping has left Git, what lanyard applied is removed by a JSON
// patch that tests the value: one that somebody changed meanwhile stays.
func TestDropped(t *testing.T) {
	o := newShared(t, "trust")
	o.must(o.kubectl("shared", ""))
	g := o.gated()
	o.configure("prune: owned\n")
	d := o.run("one")
	o.annotated("shared", sharedRole, "lanyard:Apply")
	d.clear()

	drop := func() {
		o.accept = o.push(map[string]string{"shared.yaml": "# nobody\n"})
		o.configure("prune: owned\n")
	}
	g.beforePatch("shared", func() {
		if err := o.patchAccount("shared", `{"metadata":{"annotations":{"`+actors.RoleARNAnnotation+`":"`+otherRole+`"}}}`); err != nil {
			t.Error(err)
		}
	})
	drop()
	o.annotated("shared", otherRole, "kubectl-edit:Update")
	d.rounds(2)
	o.annotated("shared", otherRole, "kubectl-edit:Update")
	if got := fmt.Sprint(o.codes("shared")); got != "[200 422]" {
		t.Errorf("answers to patches: %s, want one, and a refusal of what tests the value", got)
	}

	o.must(o.patchAccount("shared", `{"metadata":{"annotations":{"`+actors.RoleARNAnnotation+`":null,"example.com/kept":"yes"}}}`))
	o.push(shared("trust"))
	o.annotated("shared", sharedRole, "lanyard:Apply")
	drop()
	o.annotated("shared", "", "")
	a, err := o.kube.CoreV1().ServiceAccounts(o.ns).Get(t.Context(), "shared", metav1.GetOptions{})
	o.must(err)
	if a.Annotations["example.com/kept"] != "yes" {
		t.Errorf("annotations %v, want those of others", a.Annotations)
	}
}

// TestNamespaceDeleted: a namespace that is deleted just before a patch takes nothing
// down: the other mappings are repaired, and rounds go on.
func TestNamespaceDeleted(t *testing.T) {
	o := newOperator(t, fleet())
	o.ready()
	doomed := namespace(t, o.kube)
	_, err := o.kube.CoreV1().ServiceAccounts(doomed).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "doomed"}}, metav1.CreateOptions{})
	o.must(err)
	o.trust(sharedRole, distrust)
	o.allow = []string{o.ns, doomed}
	o.configure("")
	o.push(map[string]string{"doomed.yaml": strings.ReplaceAll(identityFile("doomed", sharedRole, "  mechanism: irsa\n  adopt: [trust]\n"), "NS", doomed)})
	g := o.gated()
	g.beforePatch("doomed", func() {
		if err := o.kube.CoreV1().Namespaces().Delete(t.Context(), doomed, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	d := o.run("one")
	o.repaired()
	eventually(t, "the end of the namespace", func() error {
		_, err := o.kube.CoreV1().Namespaces().Get(t.Context(), doomed, metav1.GetOptions{})
		if apierrors.IsNotFound(err) && g.done("doomed") {
			return nil
		}
		return errors.Join(err, errors.New("it is there still, or was not deleted"))
	})
	d.clear()
	d.rounds(2)
	if n := d.log.count(`"msg":"no round"`); n != 0 {
		t.Errorf("%d rounds failed, want none", n)
	}
}
