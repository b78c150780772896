package observe

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/lanyard-io/lanyard/sync/live"
)

// Others than EKS's webhook use a ServiceAccount's IRSA, and say so in objects of their
// own kinds. Those are read where the cluster has the kinds, in pages, as plain JSON, and
// of each object what the table below asks for is kept.
//
// They are few and change seldom, and a verdict is not what a write is guarded by: so
// they are read again after readersInterval only.

const (
	readersInterval = 5 * time.Minute
	readersPage     = 500
	s3Driver        = "s3.csi.aws.com"
)

// object is an object of any kind.
type object map[string]any

// at returns what stands at a path of keys, or nil.
func (o object) at(path ...string) any {
	var v any = map[string]any(o)
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

func (o object) text(path ...string) string { s, _ := o.at(path...).(string); return s }

func (o object) list(path ...string) []object {
	items, _ := o.at(path...).([]any)
	out := make([]object, 0, len(items))
	for _, item := range items {
		if m, is := item.(map[string]any); is {
			out = append(out, m)
		}
	}
	return out
}

// kindOf is one kind of the table.
type kindOf struct {
	group, resource, kind string
	readers               func(o object, r live.Reader) []live.Reader // r has kind, namespace and name
}

// kinds are the kinds that are read, with the paths at which they say whose IRSA they use.
//
// Sources: https://secrets-store-csi-driver.sigs.k8s.io/ and
// https://github.com/aws/secrets-store-csi-driver-provider-aws (README);
// https://external-secrets.io/latest/provider/aws-access/;
// https://keda.sh/docs/latest/authentication-providers/aws/ and
// https://keda.sh/docs/latest/reference/scaledobject-spec/;
// https://cert-manager.io/docs/configuration/acme/dns01/route53/;
// https://github.com/awslabs/mountpoint-s3-csi-driver, docs/CONFIGURATION.md.
var kinds = []kindOf{
	{"secrets-store.csi.x-k8s.io", "secretproviderclasses", "SecretProviderClass", secretProviderClass},
	{"external-secrets.io", "secretstores", "SecretStore", secretStore},
	{"external-secrets.io", "clustersecretstores", "ClusterSecretStore", secretStore},
	{"keda.sh", "triggerauthentications", "TriggerAuthentication", triggerAuthentication},
	{"keda.sh", "clustertriggerauthentications", "ClusterTriggerAuthentication", triggerAuthentication},
	{"keda.sh", "scaledobjects", "ScaledObject", scaled},
	{"keda.sh", "scaledjobs", "ScaledJob", scaled},
	{"cert-manager.io", "issuers", "Issuer", issuerOf},
	{"cert-manager.io", "clusterissuers", "ClusterIssuer", issuerOf},
	{"", "persistentvolumes", "PersistentVolume", persistentVolume},
}

func secretProviderClass(o object, r live.Reader) []live.Reader {
	if o.text("spec", "provider") != "aws" || fmt.Sprint(o.at("spec", "parameters", "usePodIdentity")) == "true" {
		return nil
	}
	r.Field, r.Mounted = "spec.parameters.usePodIdentity is not true", true
	return []live.Reader{r}
}

func secretStore(o object, r live.Reader) []live.Reader {
	name := o.text("spec", "provider", "aws", "auth", "jwt", "serviceAccountRef", "name")
	if name == "" {
		return nil
	}
	// A SecretStore names ServiceAccounts of its own namespace only; a ClusterSecretStore
	// without a namespace means that of the ExternalSecret.
	namespace := cmp.Or(r.Namespace, o.text("spec", "provider", "aws", "auth", "jwt", "serviceAccountRef", "namespace"), "*")
	r.Field, r.ServiceAccount = "spec.provider.aws.auth.jwt.serviceAccountRef", namespace+"/"+name
	return []live.Reader{r}
}

// triggerAuthentication is joined with what names it: see [scaledBy].
func triggerAuthentication(o object, r live.Reader) []live.Reader {
	provider, owner := o.text("spec", "podIdentity", "provider"), o.text("spec", "podIdentity", "identityOwner")
	switch {
	case provider == "aws-eks":
		r.Field = "spec.podIdentity.provider: aws-eks"
	case provider == "aws" && owner == "workload":
		r.Field = "spec.podIdentity.identityOwner: workload"
	default:
		return nil
	}
	return []live.Reader{r}
}

// scaled tells which authentications a ScaledObject or ScaledJob names, and what it
// scales. It is no reader itself: see [scaledBy].
func scaled(o object, r live.Reader) []live.Reader {
	target := live.WorkloadRef{Kind: cmp.Or(o.text("spec", "scaleTargetRef", "kind"), "Deployment"), Name: r.Namespace + "/" + o.text("spec", "scaleTargetRef", "name")}
	account := cmp.Or(o.text("spec", "jobTargetRef", "template", "spec", "serviceAccountName"),
		o.text("spec", "jobTargetRef", "template", "spec", "serviceAccount")) // the old name, which the API server still takes
	var out []live.Reader
	told := map[[2]string]bool{}
	for _, trigger := range o.list("spec", "triggers") {
		kind, name := cmp.Or(trigger.text("authenticationRef", "kind"), "TriggerAuthentication"), trigger.text("authenticationRef", "name")
		if name == "" || told[[2]string{kind, name}] {
			continue
		}
		told[[2]string{kind, name}] = true
		named := live.Reader{Kind: kind, Namespace: r.Namespace, Name: name}
		if r.Kind == "ScaledJob" {
			named.ServiceAccount = r.Namespace + "/" + cmp.Or(account, "default")
		} else {
			named.Scaled = []live.WorkloadRef{target}
		}
		out = append(out, named)
	}
	return out
}

// scaledBy joins authentications with what names them. One that nobody names reads
// nothing.
func scaledBy(authentications, uses []live.Reader) []live.Reader {
	by := make(map[[3]string]live.Reader, len(authentications))
	for _, a := range authentications {
		by[[3]string{a.Kind, a.Namespace, a.Name}] = a
	}
	var out []live.Reader
	for _, use := range uses {
		r, named := by[[3]string{use.Kind, use.Namespace, use.Name}]
		if !named {
			r, named = by[[3]string{use.Kind, "", use.Name}] // of the cluster
		}
		if named {
			r.ServiceAccount, r.Scaled = use.ServiceAccount, use.Scaled
			out = append(out, r)
		}
	}
	return out
}

// issuerOf: cert-manager asks for a token of the ServiceAccount and assumes the role by
// web identity itself, so the old trust is what it lives on. The ServiceAccount of a
// ClusterIssuer is in the namespace that cert-manager was told to use.
func issuerOf(o object, r live.Reader) []live.Reader {
	var out []live.Reader
	for _, solver := range o.list("spec", "acme", "solvers") {
		name := solver.text("dns01", "route53", "auth", "kubernetes", "serviceAccountRef", "name")
		if name == "" {
			continue
		}
		one := r
		one.Field, one.ServiceAccount = "spec.acme.solvers.dns01.route53.auth.kubernetes.serviceAccountRef", cmp.Or(r.Namespace, "*")+"/"+name
		out = append(out, one)
	}
	return out
}

func persistentVolume(o object, r live.Reader) []live.Reader {
	if o.text("spec", "csi", "driver") != s3Driver || o.text("spec", "csi", "volumeAttributes", "authenticationSource") != "pod" {
		return nil
	}
	r.Field, r.Mounted = "spec.csi.volumeAttributes.authenticationSource: pod", true
	r.Claim = o.text("spec", "claimRef", "namespace") + "/" + o.text("spec", "claimRef", "name")
	return []live.Reader{r}
}

// annotationReaders reads the objects, or returns them as last read.
func (o *Observer) annotationReaders(ctx context.Context, now time.Time, g *gaps) []live.Reader {
	client := o.opts.Kube.Discovery().RESTClient()
	if client == nil {
		return nil // a client in memory, which has no kinds but Kubernetes' own
	}
	o.mu.Lock()
	seen, age := o.readersSeen, now.Sub(o.readersAt)
	o.mu.Unlock()
	if age < min(readersInterval, o.opts.DescribeInterval) {
		return seen
	}
	list, whole := o.readReaders(ctx, client, g)
	if whole {
		o.mu.Lock()
		o.readersSeen, o.readersAt = list, now
		o.mu.Unlock()
	}
	return list
}

// readReaders asks which groups the cluster serves, and lists the kinds of those.
// Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
func (o *Observer) readReaders(ctx context.Context, client rest.Interface, g *gaps) (out []live.Reader, whole bool) {
	ctx, cancel := context.WithTimeout(ctx, o.limits.Call)
	defer cancel()
	served, err := servedGroups(ctx, client)
	if err != nil {
		g.add(live.SourceReaders, "", err)
		return nil, false
	}
	whole = true
	found := map[string][]live.Reader{}
	for _, k := range kinds {
		path := "/apis/" + k.group + "/" + served[k.group] + "/" + k.resource
		switch {
		case k.group == "" && served["storage.k8s.io"] == "":
			continue
		case k.group == "":
			path = "/api/v1/" + k.resource
			if has, err := hasDriver(ctx, client); err != nil {
				g.add(live.SourceReaders, k.resource, err)
				whole = false
				continue
			} else if !has {
				continue
			}
		case served[k.group] == "":
			continue
		}
		list, err := readKind(ctx, client, path, k)
		if apierrors.IsNotFound(err) { // the group has other kinds
			continue
		}
		if err != nil {
			g.add(live.SourceReaders, strings.TrimSuffix(k.resource+"."+k.group, "."), err)
			whole = false
		}
		found[k.kind] = list
	}
	uses := append(found["ScaledObject"], found["ScaledJob"]...)
	for _, k := range kinds {
		switch k.kind {
		case "ScaledObject", "ScaledJob":
		case "TriggerAuthentication", "ClusterTriggerAuthentication":
			out = append(out, scaledBy(found[k.kind], uses)...)
		default:
			out = append(out, found[k.kind]...)
		}
	}
	slices.SortFunc(out, func(a, b live.Reader) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.ServiceAccount, b.ServiceAccount), cmp.Compare(fmt.Sprint(a.Scaled), fmt.Sprint(b.Scaled)))
	})
	return out, whole
}

// getJSON reads one object of the API server.
func getJSON(ctx context.Context, client rest.Interface, path string, into any) error {
	body, err := client.Get().AbsPath(path).SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// eachObject reads one page of a list, and keeps no more of it at a time than one object:
// whoever may make objects decides how large they are, up to what etcd takes. It returns
// the token for the next page.
func eachObject[T any](ctx context.Context, client rest.Interface, path, more string, do func(T)) (next string, err error) {
	r := client.Get().AbsPath(path).SetHeader("Accept", "application/json").Param("limit", strconv.Itoa(readersPage))
	if more != "" {
		r = r.Param("continue", more)
	}
	body, err := r.Stream(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = body.Close() }()
	if next, err = objects(json.NewDecoder(body), do); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return next, nil
}

// objects reads {"metadata":{"continue":...},"items":[...]}, in any order.
func objects[T any](dec *json.Decoder, do func(T)) (next string, err error) {
	if err := delimiter(dec, '{'); err != nil {
		return "", err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return "", err
		}
		switch key {
		case "metadata":
			var of struct{ Continue string }
			if err := dec.Decode(&of); err != nil {
				return "", err
			}
			next = of.Continue
		case "items":
			switch begins, err := dec.Token(); {
			case err != nil:
				return "", err
			case begins == nil: // none
				continue
			case begins != json.Delim('['):
				return "", fmt.Errorf("%v stands where a list has its items", begins)
			}
			for dec.More() {
				var o T
				if err := dec.Decode(&o); err != nil {
					return "", err
				}
				do(o)
			}
			if err := delimiter(dec, ']'); err != nil {
				return "", err
			}
		default:
			var other json.RawMessage
			if err := dec.Decode(&other); err != nil {
				return "", err
			}
		}
	}
	return next, delimiter(dec, '}')
}

func delimiter(dec *json.Decoder, want json.Delim) error {
	got, err := dec.Token()
	if err == nil && got != want {
		err = fmt.Errorf("%v stands where a list has %v", got, want)
	}
	return err
}

// servedGroups returns the preferred version of each API group.
func servedGroups(ctx context.Context, client rest.Interface) (map[string]string, error) {
	var answer struct {
		Groups []struct {
			Name             string
			PreferredVersion struct{ Version string }
		}
	}
	if err := getJSON(ctx, client, "/apis", &answer); err != nil {
		return nil, err
	}
	if len(answer.Groups) == 0 {
		return nil, errors.New("the API server names no API groups")
	}
	out := map[string]string{}
	for _, g := range answer.Groups {
		out[g.Name] = g.PreferredVersion.Version
	}
	return out, nil
}

// hasDriver reports whether the cluster has the Mountpoint S3 driver: without it, its
// volumes, of which there may be thousands of other kinds, are not listed.
func hasDriver(ctx context.Context, client rest.Interface) (bool, error) {
	var driver struct{}
	err := getJSON(ctx, client, "/apis/storage.k8s.io/v1/csidrivers/"+s3Driver, &driver)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// readKind lists the objects of a kind. What came before an error is returned too.
func readKind(ctx context.Context, client rest.Interface, path string, k kindOf) ([]live.Reader, error) {
	all, _, err := pages(func(token *string) ([]live.Reader, *string, error) {
		more := ""
		if token != nil {
			more = *token
		}
		var out []live.Reader
		next, err := eachObject(ctx, client, path, more, func(o object) {
			r := live.Reader{Kind: k.kind, Namespace: o.text("metadata", "namespace"), Name: o.text("metadata", "name")}
			out = append(out, k.readers(o, r)...)
		})
		return out, &next, err
	})
	return all, err
}
