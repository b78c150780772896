package awsd

import (
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// call is a request on its way through the server.
type call struct {
	Call
	who   principal
	form  url.Values        // Query services: the form. EKS: the query string.
	path  map[string]string // EKS: the labels of the URI.
	body  []byte            // EKS, CloudTrail: the JSON document.
	keys  keyring           // What verifies the token in it, if it carries one.
	agent string            // The User-Agent.
	now   time.Time
	fault Kind
	undo  []func()
}

// response is what goes back: a body, or nothing where the connection breaks.
type response struct {
	status  int
	header  map[string]string
	body    []byte
	silence Kind // Cut or Hang.
}

// longestBody bounds what a request may hold, far above the 131,072 characters of a policy.
const longestBody = 1 << 20

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		http.Error(w, "the AWS double answers on loopback only", http.StatusForbidden)
		return
	} else if ok && !askedFor(r, a.Port) {
		http.Error(w, "the AWS double answers to its loopback address only, and to no web page", http.StatusForbidden)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, longestBody))
	if err != nil {
		http.Error(w, "request body: "+err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	res := s.answer(r, body)
	switch res.silence {
	case Hang:
		select {
		case <-r.Context().Done():
		case <-s.closing:
		}
		panic(http.ErrAbortHandler)
	case Cut:
		cut(w)
	}
	for k, v := range res.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(res.status)
	_, _ = w.Write(res.body) // A client that has gone is not our concern.
}

// askedFor reports whether a request is meant for this server. A web page can make a
// browser send anything to loopback, under a host name of its own that it has bound to
// 127.0.0.1, or across origins; no SDK does either.
func askedFor(r *http.Request, port int) bool {
	if _, page := r.Header["Origin"]; page {
		return false
	}
	host, asked, err := net.SplitHostPort(r.Host)
	if err != nil { // No port stands for HTTP's own.
		host, asked = strings.TrimSuffix(strings.TrimPrefix(r.Host, "["), "]"), "80"
	}
	ip := net.ParseIP(host)
	return asked == strconv.Itoa(port) && (strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback())
}

// cut breaks the connection in the middle of the status line. Breaking it any sooner would
// let Go's HTTP client repeat a GET by itself, and nobody would notice the fault.
func cut(w http.ResponseWriter) {
	if conn, buf, err := http.NewResponseController(w).Hijack(); err == nil {
		_, _ = buf.WriteString("HTTP/1.1 ")
		_ = buf.Flush() // The connection is of no use whatever these say.
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler) // Ends the request and logs nothing.
}

// answer runs one request under the lock, so that every call is atomic and the record has
// their true order.
func (s *Server) answer(r *http.Request, body []byte) response {
	keys := s.keysFor(r.Context(), carriedToken(r.URL.Path, body))
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &call{body: body, keys: keys, now: s.clock.Now()}
	result, err := s.run(c, r)
	c.Seq, c.Time, c.Mutating = s.forgotten+len(s.calls)+1, c.now, Mutating(c.Service, c.Operation)
	res := render(c, result, err)
	if err != nil {
		c.ErrorCode, c.Reason = err.code, err.why
	}
	switch c.fault {
	case Cut, DoneButCut:
		res = response{silence: Cut}
	case Hang, DoneButHang:
		res = response{silence: Hang}
	}
	c.Status, c.Call.Fault = res.status, c.fault
	if res.silence != "" {
		c.ErrorCode, c.Reason = "", ""
	}
	s.record(c.Call)
	return res
}

// run finds out what is asked and by whom, lets a fault have its way, and does it.
func (s *Server) run(c *call, r *http.Request) (any, *apiError) {
	sc, signed := parseAuthorization(r)
	c.Service, c.Region, c.agent = sc.service, sc.region, clip(r.UserAgent())
	do, err := s.route(c, r)
	if err != nil {
		return nil, err
	}
	c.describe()
	unsigned := c.Operation == "AssumeRoleWithWebIdentity"
	if !signed && !unsigned {
		return nil, errUnsigned(c.Service)
	}
	if !unsigned {
		if c.who, err = s.authenticate(sc, r.Header.Get("X-Amz-Security-Token"), c.now); err != nil {
			return nil, err
		}
		c.Account, c.Principal = c.who.account, c.who.arn
	}
	f := s.faultFor(c.Call)
	if f == nil {
		if s.throttled(c.Call, c.now) {
			return nil, errThrottled(c.Service)
		}
		return do(c)
	}
	c.fault = f.Kind
	switch f.Kind {
	case DoneButFailed, DoneButCut, DoneButHang, Lost, Stale, TruncatedPage:
	default:
		return nil, f.error(c.Call)
	}
	result, err := do(c)
	if f.Kind == Lost {
		for _, undo := range slices.Backward(c.undo) {
			undo()
		}
	}
	if err == nil && f.Kind == DoneButFailed {
		return nil, f.error(c.Call)
	}
	return result, err
}

type operation func(*call) (any, *apiError)

// route finds the operation that a request asks for.
func (s *Server) route(c *call, r *http.Request) (operation, *apiError) {
	switch c.Service {
	case "eks", "eks-auth":
		return s.routeREST(c, r)
	case "cloudtrail":
		return s.routeTarget(c, r)
	}
	var err error
	if c.form, err = url.ParseQuery(string(c.body)); err != nil || r.Method != http.MethodPost || r.URL.Path != "/" {
		return nil, fail(400, "MalformedQueryString", "The request is not a form posted to /.")
	}
	action, version := c.form.Get("Action"), c.form.Get("Version")
	versions := map[string]string{"iam": iamVersion, "sts": stsVersion}
	if c.Service == "" { // Not signed: the version tells the two apart.
		c.Service = "sts"
		if version == iamVersion {
			c.Service = "iam"
		}
	}
	c.Operation = action
	do, ok := s.queryOperations()[c.Service][action]
	if !ok || version != versions[c.Service] {
		return nil, fail(400, "InvalidAction", "Could not find operation %s for version %s", action, version)
	}
	return do, nil
}

// routeREST matches the method and path of a REST-JSON request with a URI template.
func (s *Server) routeREST(c *call, r *http.Request) (operation, *apiError) {
	c.form = r.URL.Query()
	segments := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	for _, rt := range s.restOperations() {
		if rt.service != c.Service || rt.method != r.Method {
			continue
		}
		if labels, ok := match(rt.uri, segments); ok {
			c.Operation, c.path = rt.operation, labels
			return rt.do, nil
		}
	}
	c.Operation = r.Method + " " + r.URL.Path
	return nil, fail(404, "UnknownOperationException", "No operation answers %s %s.", r.Method, r.URL.Path)
}

// route is one REST-JSON operation with its URI template, such as "clusters/{name}".
type route struct {
	service, operation, method, uri string
	do                              operation
}

func match(uri string, segments []string) (map[string]string, bool) {
	parts := strings.Split(uri, "/")
	if len(parts) != len(segments) {
		return nil, false
	}
	labels := map[string]string{}
	for i, part := range parts {
		text, err := url.PathUnescape(segments[i])
		if err != nil || text == "" {
			return nil, false
		}
		if label, ok := strings.CutPrefix(part, "{"); ok {
			labels[strings.TrimSuffix(label, "}")] = text
		} else if part != text {
			return nil, false
		}
	}
	return labels, true
}

// resources are the parameters that say what a call is about, best first.
var resources = []string{
	"associationId", "addonName", "fargateProfileName", "resourceArn", "serviceAccount", "RoleName", "RoleArn",
	"PolicyArn", "OpenIDConnectProviderArn", "clusterName", "name",
}

// describe fills in the record's summary of the parameters.
func (c *call) describe() {
	all := map[string]string{}
	for k, v := range c.form {
		all[k] = strings.Join(v, ",")
	}
	maps.Copy(all, c.path)
	var doc map[string]any
	if !query(c.Service) && json.Unmarshal(c.body, &doc) == nil {
		for k, v := range doc {
			if text, ok := v.(string); ok {
				all[k] = text
			} else if b, err := json.Marshal(v); err == nil {
				all[k] = string(b)
			}
		}
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		switch k {
		case "Action", "Version", "token", "WebIdentityToken", "clientRequestToken", "Marker", "nextToken", "NextToken":
		default:
			parts = append(parts, k+"="+all[k])
		}
	}
	c.Params = strings.Join(parts, " ")
	for _, k := range resources {
		if all[k] != "" {
			c.Resource = all[k]
			return
		}
	}
}

// roleView returns the role as this call's reader sees it, who is late by delay.
func (c *call) roleView(delay time.Duration) func(*versioned[Role]) (Role, bool) {
	return view[Role](c, delay)
}

// view returns how this call sees versioned things through a reader that is late by delay.
func view[T any](c *call, delay time.Duration) func(*versioned[T]) (T, bool) {
	if c.fault == Stale {
		return (*versioned[T]).previous
	}
	return func(v *versioned[T]) (T, bool) { return v.asOf(c.now.Add(-delay)) }
}
