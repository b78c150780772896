package awsd

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	iamVersion = "2010-05-08"
	stsVersion = "2011-06-15"
)

var namespaces = map[string]string{
	"iam": "https://iam.amazonaws.com/doc/" + iamVersion + "/",
	"sts": "https://sts.amazonaws.com/doc/" + stsVersion + "/",
}

// elem is an XML element: text, or children.
type elem struct {
	name string
	text string
	kids []elem
}

func el(name string, kids ...elem) elem           { return elem{name: name, kids: kids} }
func text(name, value string) elem                { return elem{name: name, text: value} }
func stamp(name string, t time.Time) elem         { return text(name, t.UTC().Format(time.RFC3339)) }
func number[N int | int64](name string, n N) elem { return text(name, strconv.FormatInt(int64(n), 10)) }

// optional returns an element with text, or none where the text is empty.
func optional(name, value string) []elem {
	if value == "" {
		return nil
	}
	return []elem{text(name, value)}
}

// members returns a Query-protocol list.
func members[T any](name string, items []T, each func(T) elem) elem {
	list := elem{name: name}
	for _, it := range items {
		e := each(it)
		e.name = "member"
		list.kids = append(list.kids, e)
	}
	return list
}

func tagMembers(tags map[string]string) elem {
	return members("Tags", slices.Sorted(maps.Keys(tags)), func(k string) elem {
		return el("", text("Key", k), text("Value", tags[k]))
	})
}

func (e elem) write(b *bytes.Buffer, attr string) {
	fmt.Fprintf(b, "<%s%s>", e.name, attr)
	_ = xml.EscapeText(b, []byte(e.text)) // A Buffer's writes do not fail.
	for _, k := range e.kids {
		k.write(b, "")
	}
	fmt.Fprintf(b, "</%s>", e.name)
}

// render writes an answer in the service's protocol.
// Sources: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html,
// https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html,
// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
func render(c *call, result any, err *apiError) response {
	id := requestID(c)
	if !query(c.Service) {
		kind := "application/json"
		if c.Service == "cloudtrail" {
			kind = "application/x-amz-json-1.1"
		}
		res := response{status: 200, header: map[string]string{"Content-Type": kind, "X-Amzn-Requestid": id}}
		if err != nil {
			res.status = err.status
			body := errorBody{Message: err.message, ClusterName: err.cluster}
			if c.Service == "cloudtrail" { // The code is in the body alone.
				body.Type = err.code
			} else {
				res.header["X-Amzn-Errortype"] = err.code
			}
			result = body
		}
		res.body, _ = json.Marshal(result) // Plain maps, lists and strings: it does not fail.
		return res
	}
	var b bytes.Buffer
	res := response{status: 200, header: map[string]string{"Content-Type": "text/xml", "X-Amzn-Requestid": id}}
	attr := fmt.Sprintf(" xmlns=%q", namespaces[c.Service])
	if err != nil {
		res.status = err.status
		kind := "Sender"
		if err.status >= 500 {
			kind = "Receiver"
		}
		el("ErrorResponse", el("Error", text("Type", kind), text("Code", err.code), text("Message", err.message)),
			text("RequestId", id)).write(&b, attr)
	} else {
		kids := []elem{el("ResponseMetadata", text("RequestId", id))}
		if list, ok := result.([]elem); ok {
			kids = append([]elem{el(c.Operation+"Result", list...)}, kids...)
		}
		el(c.Operation+"Response", kids...).write(&b, attr)
	}
	res.body = b.Bytes()
	return res
}

type errorBody struct {
	Type        string `json:"__type,omitempty"`
	Message     string `json:"message"`
	ClusterName string `json:"clusterName,omitempty"`
}

func requestID(c *call) string {
	return uuidOf(fmt.Sprintf("request %d %s", c.Seq, c.now))
}

// escape encodes a policy document as IAM does, by RFC 3986: a space is %20, never a plus.
func escape(doc string) string {
	var b strings.Builder
	for _, c := range []byte(doc) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
