// Package common stands for a cloud's SDK, which the module proxy does not have: flanneld links it for a
// backend that no test uses.
package common

// StringPtr is what the SDK calls it.
func StringPtr(text string) *string { return &text }

// BoolPtr is what the SDK calls it.
func BoolPtr(value bool) *bool { return &value }

// StringPtrs is what the SDK calls it.
func StringPtrs(texts []string) []*string {
	all := make([]*string, len(texts))
	for i := range texts {
		all[i] = &texts[i]
	}
	return all
}
