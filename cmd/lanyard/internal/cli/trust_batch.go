package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// maxBatch bounds what a batch may be: some ten thousand of the largest policies.
const maxBatch = 64 << 20

func newTrustEval(world World) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "eval --batch FILE",
		Short: "Judge many requests against many trust policies",
		Long: `Judge each element of a JSON array: would this ServiceAccount be let into a role with
this trust policy?

An element is {"id", "trustPolicy", "request"}. The trust policy is a JSON object, or a
string that holds the document's text. The request is {"mechanism": "irsa" or
"pod-identity", "issuer", "providerARN", "namespace", "serviceAccount", "audience",
"clusterARN", "accountID", "region", "partition"}; what belongs to the other mechanism does
not matter. Session tags are on, aws:SourceArn is the cluster's ARN, and it is now.

The answer is a JSON array of {"id", "decision", "reasons"} in the same order. The decision
is allow, deny, or invalid, which is a document that IAM would refuse. What hangs on a value
that lanyard cannot know is deny, with the value named. An element that is not well formed
has its answer in its place and stops nothing.`,
		Example: `  lanyard trust eval --batch requests.json
  lanyard trust eval --batch - < requests.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			docs, now := library{}, time.Now()
			return batch(world, file, func(b *bytes.Buffer, e element) {
				decision, reason := docs.eval(e, now)
				fmt.Fprintf(b, `{"id":%s,"decision":%q,"reasons":[%s]}`, e.id(), decision, quote(reason))
			})
		},
	}
	cmd.Flags().StringVar(&file, "batch", "", "JSON array of requests: a `file`, or - for standard input")
	return cmd
}

func newTrustEdit(world World) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "edit --batch FILE",
		Short: "Add or remove ServiceAccounts in many trust policies",
		Long: `Edit each element of a JSON array: let one ServiceAccount into a role by one mechanism, or
take its grant away. Nothing is written to IAM.

An element is {"id", "trustPolicy", "edit"}. The edit is a request as of lanyard trust eval,
and "op": "add" or "remove", "width" of Pod Identity trust ("pinned", the default, "cluster",
"account" or "bare") and "quota", the size that IAM allows (none by default).

The answer is a JSON array of {"id", "trustPolicy", "changed", "error"} in the same order;
"error" only where an edit was refused, which leaves its document as it was. A trust policy
that came as a string goes back as one, with every byte of the statements not edited.`,
		Example: `  lanyard trust edit --batch edits.json
  lanyard trust edit --batch - < edits.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			docs := library{}
			return batch(world, file, func(b *bytes.Buffer, e element) {
				policy, changed, err := docs.edit(e)
				fmt.Fprintf(b, `{"id":%s,"trustPolicy":%s,"changed":%v`, e.id(), policy, changed)
				if err != nil {
					fmt.Fprintf(b, `,"error":%s`, quote(err.Error()))
				}
				b.WriteByte('}')
			})
		},
	}
	cmd.Flags().StringVar(&file, "batch", "", "JSON array of edits: a `file`, or - for standard input")
	return cmd
}

// batch answers each element of a JSON array with one line.
func batch(world World, file string, answer func(*bytes.Buffer, element)) error {
	if file == "" {
		return errors.New("name the batch with --batch FILE, or --batch - for standard input")
	}
	data, err := readBounded(world, file, maxBatch)
	if err != nil {
		return err
	}
	items, err := splitJSON(data, '[')
	if err != nil {
		return fmt.Errorf("%s: %w: a batch is a JSON array", file, err)
	}
	var b bytes.Buffer
	b.WriteByte('[')
	for i, item := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		answer(&b, newElement(item.value))
	}
	if len(items) > 0 {
		b.WriteByte('\n')
	}
	b.WriteString("]\n")
	_, err = world.Stdout.Write(b.Bytes())
	return err
}

// readBounded reads a file, or standard input for "-", and refuses one over limit.
func readBounded(world World, file string, limit int64) ([]byte, error) {
	from := world.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	data, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("longer than %d MiB: give it in parts", limit>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return data, nil
}

// element is one of a batch: its members, or why there are none.
type element struct {
	members map[string][]byte
	err     error
}

func newElement(raw []byte) element {
	members, err := object("the element", raw)
	return element{members, err}
}

// object reads the members of an object, names to the letter: encoding/json would
// fold their case.
func object(what string, raw []byte) (map[string][]byte, error) {
	if raw == nil {
		return nil, fmt.Errorf("%s is missing", what)
	}
	items, err := splitJSON(raw, '{')
	if err != nil {
		return nil, fmt.Errorf("%s must be an object", what)
	}
	members := make(map[string][]byte, len(items))
	for _, item := range items {
		var name string
		if err := json.Unmarshal(item.name, &name); err != nil {
			return nil, fmt.Errorf("%s must be an object", what)
		}
		members[name] = item.value
	}
	return members, nil
}

func (e element) id() []byte { return echo(e.members["id"]) }

// echo gives back a value as it came, so that the answer is JSON whatever came:
// null for what is none, U+FFFD for bytes that are no UTF-8.
func echo(raw []byte) []byte {
	if !json.Valid(raw) {
		return []byte("null")
	}
	return bytes.ToValidUTF8(raw, []byte("\uFFFD"))
}

// library holds the documents of a batch, each parsed once per content.
type library map[string]parsed

type parsed struct {
	doc *trust.Document
	err error
}

// document reads an element's trust policy; text reports that it came as a string.
func (l library) document(e element) (doc *trust.Document, text bool, err error) {
	raw := e.members["trustPolicy"]
	if raw == nil {
		return nil, false, errors.New("trustPolicy is missing")
	}
	content := string(raw)
	if raw[0] == '"' {
		if text = true; json.Unmarshal(raw, &content) != nil {
			return nil, text, errors.New("trustPolicy is not JSON")
		}
	}
	p, ok := l[content]
	if !ok {
		if p.doc, p.err = trust.Parse(content); p.err != nil && strings.HasPrefix(content, "%7B") {
			p.err = fmt.Errorf("%w: it is URL-encoded, as IAM returns it: decode it first", p.err)
		}
		l[content] = p
	}
	return p.doc, text, p.err
}

func (l library) eval(e element, now time.Time) (decision trust.Decision, reason string) {
	if e.err != nil {
		return trust.Invalid, e.err.Error()
	}
	doc, _, err := l.document(e)
	if err == nil {
		err = doc.Valid()
	}
	if err != nil {
		return trust.Invalid, err.Error()
	}
	_, r, err := readRequest("request", e.members["request"])
	if err != nil {
		return trust.Deny, err.Error()
	}
	r.Now = now
	v := doc.Evaluate(r)
	if v.Decision != trust.Allow {
		v.Decision = trust.Deny
	}
	return v.Decision, v.Reason
}

// edit returns the trust policy in the kind of JSON that it came in.
func (l library) edit(e element) (policy []byte, changed bool, err error) {
	policy = echo(e.members["trustPolicy"])
	if e.err != nil {
		return policy, false, e.err
	}
	doc, text, err := l.document(e)
	if err != nil {
		return policy, false, err
	}
	edited, err := applyEdit(doc, e.members["edit"])
	if err != nil || !edited.Changed {
		return policy, false, err
	}
	if text {
		return quote(edited.Document.Text()), true, nil
	}
	return []byte(edited.Document.Text()), true, nil
}

func applyEdit(doc *trust.Document, raw []byte) (trust.Edit, error) {
	members, r, err := readRequest("edit", raw)
	if err != nil {
		return trust.Edit{}, err
	}
	op, err := members.text("op")
	switch {
	case err != nil:
		return trust.Edit{}, err
	case op == "remove":
		return doc.Remove(r)
	case op != "add":
		return trust.Edit{}, fmt.Errorf("edit.op %q is neither add nor remove", op)
	}
	var width identity.Width
	if members.has("width") && r.Mechanism == identity.PodIdentity {
		name, err := members.text("width")
		if err == nil {
			err = width.UnmarshalText([]byte(name))
		}
		if err != nil {
			return trust.Edit{}, err
		}
	}
	var quota float64
	if members.has("quota") {
		if err := json.Unmarshal(members.of["quota"], &quota); err != nil || quota < 0 || quota != math.Trunc(quota) || quota > math.MaxInt32 {
			return trust.Edit{}, errors.New("edit.quota must be a whole number, 0 or none for no limit")
		}
	}
	return doc.Admit(r, width, int(quota))
}

// fields are the members of a request, and what to call it.
type fields struct {
	what string
	of   map[string][]byte
}

func (f fields) has(name string) bool {
	raw := f.of[name]
	return raw != nil && string(raw) != "null"
}

func (f fields) text(name string) (string, error) {
	var s string
	switch {
	case !f.has(name):
		return "", fmt.Errorf("%s.%s is missing", f.what, name)
	case json.Unmarshal(f.of[name], &s) != nil:
		return "", fmt.Errorf("%s.%s must be a string", f.what, name)
	case s == "":
		return "", fmt.Errorf("%s.%s is empty", f.what, name)
	}
	return s, nil
}

// maybe returns a string member that may be missing or amiss.
func (f fields) maybe(name string) string {
	s, _ := f.text(name)
	return s
}

func readRequest(what string, raw []byte) (fields, trust.Request, error) {
	members, err := object(what, raw)
	f := fields{what, members}
	if err != nil {
		return f, trust.Request{}, err
	}
	var errs []error
	need := func(name string) string {
		s, err := f.text(name)
		errs = append(errs, err)
		return s
	}
	r := trust.Request{SessionTags: true}
	switch m := need("mechanism"); m {
	case "irsa":
		r.Mechanism, r.Provider, r.Audience = identity.IRSA, need("providerARN"), need("audience")
		r.Cluster = f.cluster(identity.Issuer(need("issuer")), r.Provider)
	case "pod-identity":
		r.Mechanism = identity.PodIdentity
		arn := need("clusterARN")
		if arn == "" {
			break
		}
		c, err := identity.ParseClusterARN(arn)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.clusterARN: %w", what, err))
		}
		r.Cluster, r.SourceARN = c, arn
		if f.has("accountID") {
			r.SourceAccount = need("accountID")
		}
	case "":
	default:
		errs = append(errs, fmt.Errorf("%s.mechanism %q is neither irsa nor pod-identity", what, m))
	}
	r.Subject = identity.Subject{Namespace: need("namespace"), ServiceAccount: need("serviceAccount")}
	return f, r, oneLine(errors.Join(errs...))
}

// cluster is the one of an IRSA request: by its ARN if that is given, else made up
// from its issuer, so that the mark of its statements has something to stand for.
func (f fields) cluster(issuer identity.Issuer, provider string) identity.Cluster {
	c, err := identity.ParseClusterARN(f.maybe("clusterARN"))
	if err != nil {
		parts := append(strings.SplitN(provider, ":", 6), "", "", "", "", "")
		c = identity.Cluster{
			Name: issuer.HostPath(), Region: cmp.Or(f.maybe("region"), "unknown"),
			Account: cmp.Or(f.maybe("accountID"), parts[4], "unknown"), Partition: cmp.Or(f.maybe("partition"), parts[1], "aws"),
		}
	}
	c.Issuer = issuer
	return c
}

// oneLine joins the lines of several errors.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// quote writes a JSON string, < and > as they are.
func quote(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
