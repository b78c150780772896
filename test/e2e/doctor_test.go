//go:build linux

package e2e

import (
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/sync/doctor"
	"github.com/lanyard-io/lanyard/test/e2e/plane"
)

// examine runs the doctor on the installation, as lanyard itself.
func (o *operator) examine(change func(*app.DoctorOptions)) doctor.Report {
	o.t.Helper()
	data, err := os.ReadFile(o.configFile())
	o.must(err)
	config, err := desired.ParseConfiguration(o.configFile(), data)
	o.must(err)
	id, secret := awsd.AccessKey(labAccount)
	d := app.DoctorOptions{ConfigFile: o.configFile(), Mode: o.mode, Timeout: patience,
		Options: app.Options{Config: config, Kubeconfig: o.kubeconfig, AWS: app.StaticAWS("eu-west-1", o.url, id, secret), Desired: app.Desired{Source: &config.Source}}}
	change(&d)
	r, err := app.Doctor(o.t.Context(), d)
	o.must(err)
	return r
}

// TestDoctor: on a real API server the installation of deploy/ is found good, by lanyard's
// own token and by an administrator who asks about lanyard; what it asks for is granted;
// and what is taken away is found.
func TestDoctor(t *testing.T) {
	o := newOperatorIn(t, "migrate", fleet())
	good := func(r doctor.Report) {
		t.Helper()
		for _, c := range r.Checks {
			if c.Result.Fails() {
				t.Errorf("%s is %s: %s; fix: %s", c.ID, c.Result, strings.Join(c.Evidence, "; "), c.Fix)
			}
		}
	}
	one := func(r doctor.Report, id doctor.ID, want doctor.Result, seen string) {
		t.Helper()
		for _, c := range r.Checks {
			if c.ID == id && (c.Result != want || !strings.Contains(strings.Join(c.Evidence, "\n"), seen)) {
				t.Errorf("%s is %s: %q, want %s with %q", id, c.Result, c.Evidence, want, seen)
			}
		}
	}
	r := o.examine(func(*app.DoctorOptions) {})
	good(r)
	one(r, doctor.IDKubernetesPermissions, doctor.OK, lanyardUser+" has all")
	one(r, doctor.IDKubernetesExcess, doctor.OK, "")
	one(r, doctor.IDKubernetesClock, doctor.OK, "the API server's clock")
	one(r, doctor.IDAdmissionPolicy, doctor.OK, "unchanged")
	for _, q := range o.asked() {
		if q.Annotations["authorization.k8s.io/decision"] != "allow" {
			t.Errorf("refused: %s %s", q.Verb, q.RequestURI)
		}
	}

	asAdmin := func(d *app.DoctorOptions) { d.Kubeconfig = plane.Need(t).Kubeconfig }
	about := func(d *app.DoctorOptions) { asAdmin(d); d.As = lanyardUser }
	r = o.examine(about)
	one(r, doctor.IDKubernetesPermissions, doctor.OK, lanyardUser+" has all")
	one(r, doctor.IDKubernetesExcess, doctor.OK, lanyardUser)
	r = o.examine(func(d *app.DoctorOptions) { asAdmin(d); d.As = "system:serviceaccount:" + o.ns + ":default" })
	one(r, doctor.IDKubernetesPermissions, doctor.Failed, "patch serviceaccounts")
	r = o.examine(asAdmin)
	one(r, doctor.IDKubernetesPermissions, doctor.OK, "has all")
	one(r, doctor.IDKubernetesExcess, doctor.Skipped, "--as")
	one(r, doctor.IDAdmissionPolicy, doctor.OK, "is taken to run as")

	defer apply(t, admin(t), objectsOf(t, "../../deploy/kubernetes/base/admission.yaml"))
	o.must(adminClient(t).AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(t.Context(), rights.AdmissionPolicy, metav1.DeleteOptions{}))
	one(o.examine(func(*app.DoctorOptions) {}), doctor.IDAdmissionPolicy, doctor.Failed, "Binding "+rights.AdmissionPolicy+" is not there")
	const stray = "https://oidc.eks.eu-west-1.amazonaws.com/id/00000000000000000000000000000000"
	o.must(o.aws.PutCluster(awsd.Cluster{ARN: "arn:aws:eks:eu-west-1:" + labAccount + ":cluster/another", Issuer: stray}))
	one(o.examine(func(d *app.DoctorOptions) { d.Cluster = "another" }), doctor.IDIssuer, doctor.Failed, stray)
}
