package desired

import (
	"encoding/json"
	"maps"
)

const (
	dialect       = "https://json-schema.org/draft/2020-12/schema"
	schemaID      = "https://lanyard.io/schema/v1alpha1.json"
	configuration = "https://lanyard.io/schema/configuration-v1alpha1.json"
)

// Schema returns the JSON Schema (draft 2020-12) of the documents of a
// repository: IdentityMapping, IdentityDefaults and AuditWaiver. It accepts
// whatever [Parse] accepts. What it cannot say, such as two keys that exclude each
// other, only Parse refuses.
func Schema() []byte {
	kinds := make([]any, len(documents))
	for i, d := range documents {
		kinds[i] = describe(d.shape, field{doc: d.doc})
	}
	return marshal(map[string]any{
		"$schema": dialect, "$id": schemaID,
		"title": "lanyard: which ServiceAccount uses which IAM role by which mechanism",
		"type":  "object",
		"oneOf": kinds,
	})
}

// ConfigurationSchema returns the JSON Schema (draft 2020-12) of what
// [ParseConfiguration] reads.
func ConfigurationSchema() []byte {
	s := describe(configurationShape, field{doc: "What the operator of one daemon decides."})
	maps.Copy(s, map[string]any{"$schema": dialect, "$id": configuration, "title": "lanyard: the operator's configuration"})
	return marshal(s)
}

func marshal(v any) []byte {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // maps, slices, text and numbers: it cannot be
	}
	return append(b, '\n')
}

// describe prints a shape as a schema; f is the key at which it stands.
func describe(s *shape, f field) map[string]any {
	m := map[string]any{}
	if f.doc != "" {
		m["description"] = f.doc
	}
	if f.initial != nil {
		m["default"] = f.initial
	}
	switch s.kind {
	case flag:
		m["type"] = "boolean"
	case count:
		m["type"], m["minimum"], m["maximum"] = "integer", s.from, s.to
	case list:
		m["type"], m["items"], m["maxItems"] = "array", describe(s.items, field{}), maxItems
		if s.filled {
			m["minItems"] = 1
		}
	case object:
		properties, required := map[string]any{}, []string{}
		for _, inner := range s.fields {
			properties[inner.key] = describe(inner.shape, inner)
			if inner.required {
				required = append(required, inner.key)
			}
		}
		m["type"], m["properties"], m["additionalProperties"] = "object", properties, false
		if len(required) > 0 {
			m["required"] = required
		}
	default:
		describeText(s, m)
	}
	return m
}

// describeText prints the kinds that are written as text.
func describeText(s *shape, m map[string]any) {
	m["type"] = "string"
	switch {
	case len(s.words) == 1:
		m["const"] = s.words[0]
		return
	case len(s.words) > 0:
		m["enum"] = s.words
		return
	}
	m["maxLength"] = maxText
	if s.max > 0 {
		m["maxLength"] = s.max
	}
	if !s.blank {
		m["minLength"] = 1
	}
	pattern := s.pattern
	if s.kind == span {
		pattern = spanRE
	}
	switch {
	case pattern == nil:
	case s.blank:
		m["pattern"] = "^$|" + pattern.String()
	default:
		m["pattern"] = pattern.String()
	}
}
