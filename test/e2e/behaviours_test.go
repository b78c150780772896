//go:build linux

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	clientcore "k8s.io/client-go/kubernetes/typed/core/v1"
)

// asker puts one question to a Kubernetes and writes down what it answers, in words that
// leave out what no two clusters share: uids, times, versions, generated names.
type asker struct {
	ctx  context.Context
	kube kubernetes.Interface
	ns   string
	wait func(done func() bool) bool // lets the cluster's life go on until done, or reports false
	said []string
}

// say writes down an answer.
func (a *asker) say(what string, answer any) {
	if err, is := answer.(error); is {
		answer = answered(err)
	} else if answer == nil {
		answer = "ok"
	}
	a.said = append(a.said, fmt.Sprintf("%s: %v", what, answer))
}

// answered is an error in the words that lanyard decides by: code, reason, causes.
func answered(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return err.Error()
	}
	s := status.Status()
	text := fmt.Sprintf("%d %s", s.Code, s.Reason)
	if s.Details != nil {
		for _, c := range s.Details.Causes {
			text += fmt.Sprintf(" [%s %s]", c.Type, c.Field)
		}
	}
	return text
}

func (a *asker) accounts() clientcore.ServiceAccountInterface {
	return a.kube.CoreV1().ServiceAccounts(a.ns)
}

// account makes a ServiceAccount with annotations.
func (a *asker) account(name string, annotations map[string]string) *corev1.ServiceAccount {
	made, err := a.accounts().Create(a.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}}, metav1.CreateOptions{FieldManager: "kubectl-create"})
	if err != nil {
		a.say("create "+name, err)
		return &corev1.ServiceAccount{}
	}
	return made
}

// show writes down a ServiceAccount's annotations, and which managers have which.
func (a *asker) show(name string) {
	got, err := a.accounts().Get(a.ctx, name, metav1.GetOptions{})
	if err != nil {
		a.say("get "+name, err)
		return
	}
	var all []string
	for _, key := range slices.Sorted(maps.Keys(got.Annotations)) {
		var of []string
		for _, m := range got.ManagedFields {
			var fields struct {
				Meta struct {
					Annotations map[string]any `json:"f:annotations"`
				} `json:"f:metadata"`
			}
			if m.FieldsV1 != nil && json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) == nil && fields.Meta.Annotations["f:"+key] != nil {
				of = append(of, m.Manager+" "+string(m.Operation))
			}
		}
		slices.Sort(of)
		all = append(all, fmt.Sprintf("%s=%s (%s)", key, got.Annotations[key], strings.Join(of, ", ")))
	}
	a.say(name, strings.Join(all, "; "))
}

// apply is a server-side apply of annotations.
func (a *asker) apply(manager, name string, force bool, annotations map[string]string, more ...func(*applycore.ServiceAccountApplyConfiguration)) {
	c := applycore.ServiceAccount(name, a.ns).WithAnnotations(annotations)
	for _, m := range more {
		m(c)
	}
	_, err := a.accounts().Apply(a.ctx, c, metav1.ApplyOptions{FieldManager: manager, Force: force})
	a.say(manager+" applies", err)
}

func (a *asker) patch(name string, kind types.PatchType, text string) {
	_, err := a.accounts().Patch(a.ctx, name, kind, []byte(text), metav1.PatchOptions{FieldManager: "editor"})
	a.say("patch", err)
}

// one is an annotation with that value.
func one(value string) map[string]string { return map[string]string{"example.com/a": value} }

// template is a pod's, of ServiceAccount default.
func template() corev1.PodTemplateSpec {
	t := podOf(nil)
	t.Spec.TerminationGracePeriodSeconds = new(int64(0))
	return t
}

// deployment makes one with two replicas, and waits for them.
func (a *asker) deployment(name string) {
	t := template()
	t.Labels = map[string]string{"app": name}
	_, err := a.kube.AppsV1().Deployments(a.ns).Create(a.ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: new(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: t.Labels}, Template: t}}, metav1.CreateOptions{})
	if err != nil {
		a.say("create "+name, err)
	}
	a.rolled(name)
}

func (a *asker) rolled(name string) {
	if !a.wait(func() bool {
		d, err := a.kube.AppsV1().Deployments(a.ns).Get(a.ctx, name, metav1.GetOptions{})
		return err == nil && d.Status.ObservedGeneration == d.Generation && d.Status.AvailableReplicas == 2 && d.Status.UpdatedReplicas == 2 && d.Status.Replicas == 2
	}) {
		a.say(name, "never rolled out")
	}
}

func (a *asker) pods(name string) []corev1.Pod {
	list, err := a.kube.CoreV1().Pods(a.ns).List(a.ctx, metav1.ListOptions{LabelSelector: "app=" + name})
	if err != nil {
		a.say("list", err)
		return nil
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

// change reads a ServiceAccount, lets another write come between, and updates.
func (a *asker) stale(update func(read *corev1.ServiceAccount) error) error {
	read := a.account("sa", one("1"))
	a.patch("sa", types.MergePatchType, `{"metadata":{"annotations":{"example.com/a":"2"}}}`)
	return update(read)
}

// behaviour is one question.
type behaviour struct {
	name string
	ask  func(*asker)
}

// behaviours are what lanyard, the sandbox's actors and the tests rely on, each asked in
// a namespace of its own.
var behaviours = []behaviour{
	{"create twice", func(a *asker) {
		a.account("sa", nil)
		a.account("sa", nil)
	}},
	{"get and delete what is not there", func(a *asker) {
		_, err := a.accounts().Get(a.ctx, "sa", metav1.GetOptions{})
		a.say("get", err)
		a.say("delete", a.accounts().Delete(a.ctx, "sa", metav1.DeleteOptions{}))
		a.patch("sa", types.MergePatchType, `{"metadata":{"labels":{"a":"b"}}}`)
	}},
	{"a name that is none", func(a *asker) { a.account("Not_A_Name", nil) }},
	{"annotations that are too large", func(a *asker) { a.account("sa", one(strings.Repeat("x", 256<<10+1))) }},
	{"a namespace that is not there", func(a *asker) {
		a.ns += "-none"
		a.account("sa", nil)
		list, err := a.accounts().List(a.ctx, metav1.ListOptions{})
		a.say("list", err)
		a.say("items", len(list.Items))
	}},
	{"a name that is generated", func(a *asker) {
		made, err := a.accounts().Create(a.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "sa-"}}, metav1.CreateOptions{})
		a.say("create", err)
		a.say("name", fmt.Sprint(strings.HasPrefix(made.Name, "sa-"), " of ", len(made.Name)))
		a.say("has uid, version, time", fmt.Sprint(made.UID != "", made.ResourceVersion != "", !made.CreationTimestamp.IsZero()))
	}},
	{"versions of an object", func(a *asker) {
		made := a.account("sa", one("1"))
		a.patch("sa", types.MergePatchType, `{"metadata":{"annotations":{"example.com/a":"2"}}}`)
		changed, _ := a.accounts().Get(a.ctx, "sa", metav1.GetOptions{})
		a.patch("sa", types.MergePatchType, `{"metadata":{"annotations":{"example.com/a":"2"}}}`)
		same, _ := a.accounts().Get(a.ctx, "sa", metav1.GetOptions{})
		a.say("a change has another version", changed.ResourceVersion != made.ResourceVersion)
		a.say("no change has the same", same.ResourceVersion == changed.ResourceVersion)
	}},
	{"an update of what has changed", func(a *asker) {
		a.say("update", a.stale(func(read *corev1.ServiceAccount) error {
			_, err := a.accounts().Update(a.ctx, read, metav1.UpdateOptions{})
			return err
		}))
		a.show("sa")
	}},
	{"an update without a version", func(a *asker) {
		a.say("update", a.stale(func(read *corev1.ServiceAccount) error {
			read.ResourceVersion = ""
			_, err := a.accounts().Update(a.ctx, read, metav1.UpdateOptions{FieldManager: "editor"})
			return err
		}))
		a.show("sa")
	}},
	{"an update of what is not there", func(a *asker) {
		_, err := a.accounts().Update(a.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa", Namespace: a.ns}}, metav1.UpdateOptions{})
		a.say("update", err)
	}},
	{"an apply of what has changed", func(a *asker) {
		a.say("done", a.stale(func(read *corev1.ServiceAccount) error {
			a.apply("lanyard", "sa", true, one("3"), func(c *applycore.ServiceAccountApplyConfiguration) {
				c.WithUID(read.UID).WithResourceVersion(read.ResourceVersion)
			})
			return nil
		}))
		a.show("sa")
	}},
	{"an apply that creates", func(a *asker) {
		a.apply("lanyard", "sa", false, one("1"))
		a.show("sa")
	}},
	{"an apply with the uid of what is not there", func(a *asker) {
		made := a.account("sa", nil)
		a.say("delete", a.accounts().Delete(a.ctx, "sa", metav1.DeleteOptions{}))
		a.apply("lanyard", "sa", true, one("1"), func(c *applycore.ServiceAccountApplyConfiguration) { c.WithUID(made.UID) })
		a.show("sa")
	}},
	{"an apply with the uid of what was made again", func(a *asker) {
		made := a.account("sa", nil)
		a.say("delete", a.accounts().Delete(a.ctx, "sa", metav1.DeleteOptions{}))
		a.account("sa", nil)
		a.apply("lanyard", "sa", true, one("1"), func(c *applycore.ServiceAccountApplyConfiguration) { c.WithUID(made.UID) })
		a.show("sa")
	}},
	{"an apply of what another manager has", func(a *asker) {
		a.apply("argocd", "sa", false, one("1"))
		a.apply("lanyard", "sa", false, one("2"))
		a.show("sa")
		a.apply("lanyard", "sa", true, one("2"))
		a.show("sa")
		a.apply("argocd", "sa", false, one("1"))
	}},
	{"an apply of what somebody has updated", func(a *asker) {
		a.account("sa", one("1"))
		a.apply("lanyard", "sa", false, one("2"))
		a.apply("lanyard", "sa", false, one("1"))
		a.show("sa")
	}},
	{"an apply without what it had", func(a *asker) {
		a.apply("lanyard", "sa", false, map[string]string{"example.com/a": "1", "example.com/b": "1"})
		a.apply("lanyard", "sa", false, one("1"))
		a.show("sa")
	}},
	{"two managers of one value", func(a *asker) {
		a.apply("argocd", "sa", false, one("1"))
		a.apply("lanyard", "sa", false, one("1"))
		a.show("sa")
		a.apply("argocd", "sa", false, map[string]string{"example.com/b": "1"})
		a.show("sa")
	}},
	{"a merge patch", func(a *asker) {
		a.account("sa", map[string]string{"example.com/a": "1", "example.com/b": "1"})
		a.patch("sa", types.MergePatchType, `{"metadata":{"annotations":{"example.com/a":null,"example.com/c":"1"}}}`)
		a.show("sa")
	}},
	{"a JSON patch whose test holds", func(a *asker) {
		a.account("sa", map[string]string{"example.com/a": "1", "example.com/b": "1"})
		a.patch("sa", types.JSONPatchType, `[{"op":"test","path":"/metadata/annotations/example.com~1a","value":"1"},{"op":"remove","path":"/metadata/annotations/example.com~1a"}]`)
		a.show("sa")
	}},
	{"a JSON patch whose test fails", func(a *asker) {
		a.account("sa", one("1"))
		a.patch("sa", types.JSONPatchType, `[{"op":"test","path":"/metadata/annotations/example.com~1a","value":"2"},{"op":"remove","path":"/metadata/annotations/example.com~1a"}]`)
		a.show("sa")
	}},
	{"a JSON patch that tests another uid", func(a *asker) {
		a.account("sa", one("1"))
		a.patch("sa", types.JSONPatchType, `[{"op":"test","path":"/metadata/uid","value":"0"},{"op":"remove","path":"/metadata/annotations/example.com~1a"}]`)
		a.show("sa")
	}},
	{"a JSON patch that removes what is not there", func(a *asker) {
		a.account("sa", one("1"))
		a.patch("sa", types.JSONPatchType, `[{"op":"remove","path":"/metadata/annotations/example.com~1b"}]`)
		a.show("sa")
	}},
	{"dry runs", func(a *asker) {
		dry := []string{metav1.DryRunAll}
		_, err := a.accounts().Create(a.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "none"}}, metav1.CreateOptions{DryRun: dry})
		a.say("create", err)
		a.show("none")
		a.account("sa", one("1"))
		_, err = a.accounts().Patch(a.ctx, "sa", types.MergePatchType, []byte(`{"metadata":{"annotations":{"example.com/a":"2"}}}`), metav1.PatchOptions{DryRun: dry})
		a.say("patch", err)
		a.say("delete", a.accounts().Delete(a.ctx, "sa", metav1.DeleteOptions{DryRun: dry}))
		a.show("sa")
	}},
	{"a dry run of a pod", func(a *asker) {
		made, err := a.kube.CoreV1().Pods(a.ns).Create(a.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Spec: template().Spec}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		a.say("create", err)
		a.say("ServiceAccount", made.Spec.ServiceAccountName)
		_, err = a.kube.CoreV1().Pods(a.ns).Get(a.ctx, "probe", metav1.GetOptions{})
		a.say("get", err)
	}},
	{"a pod of a ServiceAccount that is not there", func(a *asker) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Spec: template().Spec}
		pod.Spec.ServiceAccountName = "nobody"
		_, err := a.kube.CoreV1().Pods(a.ns).Create(a.ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		a.say("create", err)
	}},
	{"deletion of what was made again", func(a *asker) {
		made := a.account("sa", nil)
		a.say("delete", a.accounts().Delete(a.ctx, "sa", metav1.DeleteOptions{}))
		a.account("sa", nil)
		a.say("delete", a.accounts().Delete(a.ctx, "sa", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &made.UID}}))
	}},
	{"label selectors", func(a *asker) {
		for name, team := range map[string]string{"one": "blue", "two": "red", "three": ""} {
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
			if team != "" {
				account.Labels = map[string]string{"team": team}
			}
			_, err := a.accounts().Create(a.ctx, account, metav1.CreateOptions{})
			a.say("create", err)
		}
		for _, selector := range []string{"team=blue", "team", "!team,kept!=yes", "team in (red,green)"} {
			list, err := a.accounts().List(a.ctx, metav1.ListOptions{LabelSelector: selector})
			if err != nil {
				a.say(selector, err)
				continue
			}
			var names []string
			for _, i := range list.Items {
				if i.Name != "default" {
					names = append(names, i.Name)
				}
			}
			slices.Sort(names)
			a.say(selector, names)
		}
	}},
	{"field selectors", func(a *asker) {
		a.account("one", nil)
		a.account("two", nil)
		list, err := a.accounts().List(a.ctx, metav1.ListOptions{FieldSelector: "metadata.name=one"})
		a.say("list", err)
		a.say("items", len(list.Items))
		_, err = a.accounts().List(a.ctx, metav1.ListOptions{FieldSelector: "spec.none=one"})
		a.say("no such field", err)
	}},
	{"lists in pages", func(a *asker) {
		for n := range 5 {
			a.account(fmt.Sprint("sa-", n), nil)
		}
		list, err := a.accounts().List(a.ctx, metav1.ListOptions{Limit: 2, FieldSelector: "metadata.name!=default"})
		a.say("list", err)
		a.say("items, and more", fmt.Sprint(len(list.Items), list.Continue != ""))
	}},
	{"a watch", func(a *asker) {
		made := a.account("before", nil)
		w, err := a.accounts().Watch(a.ctx, metav1.ListOptions{ResourceVersion: made.ResourceVersion, FieldSelector: "metadata.name!=default"})
		if err != nil {
			a.say("watch", err)
			return
		}
		defer w.Stop()
		a.account("sa", one("1"))
		a.patch("sa", types.MergePatchType, `{"metadata":{"annotations":{"example.com/a":"2"}}}`)
		a.say("delete", a.accounts().Delete(a.ctx, "sa", metav1.DeleteOptions{}))
		for range 3 {
			select {
			case e := <-w.ResultChan():
				account, _ := e.Object.(*corev1.ServiceAccount)
				a.say(string(e.Type), account.GetName()+" "+account.GetAnnotations()["example.com/a"])
			case <-time.After(patience):
				a.say("watch", "nothing more")
			}
		}
	}},
	{"a watch by label", func(a *asker) {
		w, err := a.accounts().Watch(a.ctx, metav1.ListOptions{LabelSelector: "team=blue"})
		if err != nil {
			a.say("watch", err)
			return
		}
		defer w.Stop()
		a.account("other", nil)
		a.account("sa", nil)
		for _, team := range []string{`"blue"`, `"red"`} { // enters, and leaves
			a.patch("sa", types.MergePatchType, `{"metadata":{"labels":{"team":`+team+`}}}`)
		}
		for range 2 {
			select {
			case e := <-w.ResultChan():
				m, _ := meta.Accessor(cmp.Or[runtime.Object](e.Object, &corev1.ServiceAccount{}))
				a.say(string(cmp.Or(e.Type, watch.Error)), m.GetName())
			case <-time.After(2 * time.Second):
				a.say("watch", "nothing more")
			}
		}
	}},
	{"a Lease that has passed on", func(a *asker) {
		leases := a.kube.CoordinationV1().Leases(a.ns)
		holder := func(who string) *coordinationv1.Lease {
			return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "lanyard"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &who, LeaseDurationSeconds: new(int32(30))}}
		}
		read, err := leases.Create(a.ctx, holder("one"), metav1.CreateOptions{})
		a.say("create", err)
		other := read.DeepCopy()
		other.Spec.HolderIdentity = new("two")
		_, err = leases.Update(a.ctx, other, metav1.UpdateOptions{})
		a.say("two updates", err)
		_, err = leases.Update(a.ctx, read, metav1.UpdateOptions{})
		a.say("one updates", err)
		_, err = leases.Create(a.ctx, holder("three"), metav1.CreateOptions{})
		a.say("three creates", err)
	}},
	{"Events", func(a *asker) {
		made := a.account("sa", nil)
		event := func(note string) error {
			_, err := a.kube.EventsV1().Events(a.ns).Create(a.ctx, &eventsv1.Event{
				ObjectMeta: metav1.ObjectMeta{GenerateName: "sa-"}, EventTime: metav1.NewMicroTime(time.Now()), ReportingController: "lanyard.io/lanyard", ReportingInstance: "one",
				Action: "widen", Reason: "IdentityStep", Type: corev1.EventTypeNormal, Note: note,
				Regarding: corev1.ObjectReference{APIVersion: "v1", Kind: "ServiceAccount", Namespace: a.ns, Name: "sa", UID: made.UID},
			}, metav1.CreateOptions{})
			return err
		}
		a.say("create", event(strings.Repeat("x", 1024)))
		a.say("a long note", event(strings.Repeat("x", 1025)))
	}},
	{"a token", func(a *asker) {
		a.account("sa", nil)
		answer, err := a.accounts().CreateToken(a.ctx, "sa", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"sts.amazonaws.com"}, ExpirationSeconds: new(int64(3600))}}, metav1.CreateOptions{})
		a.say("create", err)
		if err == nil {
			claims, err := claimsOf(answer.Status.Token)
			a.say("claims", cmp.Or[any](err, fmt.Sprint(claims.Audience, " ", strings.ReplaceAll(claims.Subject, a.ns, "NS"))))
		}
		_, err = a.accounts().CreateToken(a.ctx, "sa", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(60))}}, metav1.CreateOptions{})
		a.say("a short one", err)
		_, err = a.accounts().CreateToken(a.ctx, "nobody", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		a.say("of nobody", err)
	}},
	{"a Deployment's pods", func(a *asker) {
		a.deployment("web")
		pods := a.pods("web")
		a.say("pods", len(pods))
		for _, p := range pods {
			owner := metav1.GetControllerOf(&p)
			a.say("pod", fmt.Sprint(owner.Kind, " ", p.Spec.ServiceAccountName, " ", p.Status.Phase, " on a node: ", p.Spec.NodeName != ""))
			set, err := a.kube.AppsV1().ReplicaSets(a.ns).Get(a.ctx, owner.Name, metav1.GetOptions{})
			if err != nil {
				a.say("ReplicaSet", err)
				continue
			}
			a.say("ReplicaSet of", metav1.GetControllerOf(set).Kind+" "+metav1.GetControllerOf(set).Name)
		}
	}},
	{"generations of a Deployment", func(a *asker) {
		a.deployment("web")
		deployments := a.kube.AppsV1().Deployments(a.ns)
		d, err := deployments.Get(a.ctx, "web", metav1.GetOptions{})
		a.say("get", err)
		a.say("first", d.Generation)
		for _, patch := range []string{`{"metadata":{"annotations":{"a":"b"}}}`, `{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}`} {
			d, err := deployments.Patch(a.ctx, "web", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
			a.say("patch", err)
			a.say("then", d.Generation)
		}
		_, err = deployments.Patch(a.ctx, "web", types.MergePatchType, []byte(`{"spec":{"selector":{"matchLabels":{"app":"other"}},"template":{"metadata":{"labels":{"app":"other"}}}}}`), metav1.PatchOptions{})
		a.say("another selector", err)
	}},
	{"a rollout", func(a *asker) {
		a.deployment("web")
		before := map[types.UID]bool{}
		for _, p := range a.pods("web") {
			before[p.UID] = true
		}
		_, err := a.kube.AppsV1().Deployments(a.ns).Patch(a.ctx, "web", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-11-23T09:00:00Z"}}}}}`), metav1.PatchOptions{})
		a.say("restart", err)
		a.rolled("web")
		a.wait(func() bool { return len(a.pods("web")) == 2 })
		for _, p := range a.pods("web") {
			a.say("pod is one of before", before[p.UID])
		}
		sets, err := a.kube.AppsV1().ReplicaSets(a.ns).List(a.ctx, metav1.ListOptions{LabelSelector: "app=web"})
		a.say("list", err)
		a.say("ReplicaSets", len(sets.Items))
	}},
	{"a pod that is deleted", func(a *asker) {
		a.deployment("web")
		gone := a.pods("web")[0]
		a.say("delete", a.kube.CoreV1().Pods(a.ns).Delete(a.ctx, gone.Name, metav1.DeleteOptions{}))
		a.say("comes again", a.wait(func() bool {
			pods := a.pods("web")
			return len(pods) == 2 && !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.UID == gone.UID })
		}))
	}},
	{"evictions against a budget", func(a *asker) {
		a.deployment("web")
		_, err := a.kube.PolicyV1().PodDisruptionBudgets(a.ns).Create(a.ctx, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "web"},
			Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(2)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}, metav1.CreateOptions{})
		a.say("budget", err)
		a.say("is looked at", a.wait(func() bool {
			b, err := a.kube.PolicyV1().PodDisruptionBudgets(a.ns).Get(a.ctx, "web", metav1.GetOptions{})
			return err == nil && b.Status.ObservedGeneration == b.Generation && b.Status.CurrentHealthy == 2
		}))
		err = a.kube.PolicyV1().Evictions(a.ns).Evict(a.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: a.pods("web")[0].Name, Namespace: a.ns}})
		a.say("evict", err)
	}},
	{"an eviction of what was made again", func(a *asker) {
		a.deployment("web")
		gone := a.pods("web")[0]
		evict := func(uid types.UID) error {
			return a.kube.CoreV1().Pods(a.ns).EvictV1(a.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: gone.Name, Namespace: a.ns},
				DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}})
		}
		a.say("another uid", evict("00000000-0000-4000-8000-000000000000"))
		a.say("it stays", slices.ContainsFunc(a.pods("web"), func(p corev1.Pod) bool { return p.UID == gone.UID }))
		a.say("its uid", evict(gone.UID))
		a.say("it goes", a.wait(func() bool {
			_, err := a.kube.CoreV1().Pods(a.ns).Get(a.ctx, gone.Name, metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		}))
		a.say("once more", evict(gone.UID))
	}},
	{"a pod with two budgets", func(a *asker) {
		a.deployment("web")
		for _, name := range []string{"one", "two"} {
			_, err := a.kube.PolicyV1().PodDisruptionBudgets(a.ns).Create(a.ctx, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}, metav1.CreateOptions{})
			a.say("budget", err)
		}
		err := a.kube.PolicyV1().Evictions(a.ns).Evict(a.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: a.pods("web")[0].Name, Namespace: a.ns}})
		a.say("evict", err)
		a.say("says so", err != nil && strings.Contains(err.Error(), "more than one PodDisruptionBudget"))
	}},
	{"a JSON patch of a workload", func(a *asker) {
		a.deployment("web")
		deployments := a.kube.AppsV1().Deployments(a.ns)
		d, err := deployments.Get(a.ctx, "web", metav1.GetOptions{})
		a.say("get", err)
		const restarted = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt"
		for _, step := range [][2]string{
			{"nothing stands, and its parent neither", `{"op":"test","path":"/spec/template/metadata/annotations","value":null},{"op":"add","path":"/spec/template/metadata/annotations","value":{"kubectl.kubernetes.io/restartedAt":"1"}}`},
			{"nothing stands there any more", `{"op":"test","path":"/spec/template/metadata/annotations","value":null},{"op":"add","path":"/spec/template/metadata/annotations","value":{}}`},
			{"the value that stands", `{"op":"test","path":"` + restarted + `","value":"1"},{"op":"add","path":"` + restarted + `","value":"2"}`},
			{"a value that stood", `{"op":"test","path":"` + restarted + `","value":"1"},{"op":"add","path":"` + restarted + `","value":"3"}`},
			{"not paused", `{"op":"test","path":"/spec/paused","value":null},{"op":"add","path":"/spec/paused","value":true}`},
			{"not paused any more", `{"op":"test","path":"/spec/paused","value":null},{"op":"add","path":"/spec/paused","value":true}`},
			{"paused", `{"op":"test","path":"/spec/paused","value":true},{"op":"remove","path":"/spec/paused"}`},
		} {
			_, err := deployments.Patch(a.ctx, "web", types.JSONPatchType, []byte(`[{"op":"test","path":"/metadata/uid","value":"`+string(d.UID)+`"},`+step[1]+`]`), metav1.PatchOptions{FieldManager: "lanyard"})
			a.say(step[0], err)
		}
		_, err = deployments.Patch(a.ctx, "web", types.JSONPatchType, []byte(`[{"op":"test","path":"/metadata/uid","value":"0"},{"op":"add","path":"/spec/paused","value":true}]`), metav1.PatchOptions{})
		a.say("another uid", err)
		d, err = deployments.Get(a.ctx, "web", metav1.GetOptions{})
		a.say("at last", cmp.Or[any](err, fmt.Sprint(d.Spec.Paused, " ", d.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"])))
	}},
	{"a rollout that is paused", func(a *asker) {
		a.deployment("web")
		before := map[types.UID]bool{}
		for _, p := range a.pods("web") {
			before[p.UID] = true
		}
		patch := func(what, text string) {
			_, err := a.kube.AppsV1().Deployments(a.ns).Patch(a.ctx, "web", types.StrategicMergePatchType, []byte(text), metav1.PatchOptions{})
			a.say(what, err)
		}
		seen := func() bool {
			d, err := a.kube.AppsV1().Deployments(a.ns).Get(a.ctx, "web", metav1.GetOptions{})
			return err == nil && d.Status.ObservedGeneration == d.Generation
		}
		patch("pause", `{"spec":{"paused":true}}`)
		a.say("is seen", a.wait(seen))
		patch("restart", `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-11-23T09:00:00Z"}}}}}`)
		a.say("is seen", a.wait(seen))
		for _, p := range a.pods("web") {
			a.say("pod is one of before", before[p.UID])
		}
		d, err := a.kube.AppsV1().Deployments(a.ns).Get(a.ctx, "web", metav1.GetOptions{})
		a.say("updated", cmp.Or[any](err, d.Status.UpdatedReplicas))
		patch("resume", `{"spec":{"paused":null}}`)
		a.rolled("web")
		a.wait(func() bool { return len(a.pods("web")) == 2 })
		for _, p := range a.pods("web") {
			a.say("pod is one of before", before[p.UID])
		}
	}},
	{"a namespace that goes away", func(a *asker) {
		a.account("sa", nil)
		a.say("delete", a.kube.CoreV1().Namespaces().Delete(a.ctx, a.ns, metav1.DeleteOptions{}))
		a.say("it goes", a.wait(func() bool {
			_, err := a.kube.CoreV1().Namespaces().Get(a.ctx, a.ns, metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		}))
		a.show("sa")
	}},
}
