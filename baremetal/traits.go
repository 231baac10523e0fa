package baremetal

import (
	"regexp"
	"slices"
)

// MaxTraits is the most traits a node or runbook may have.
const MaxTraits = 50

// trait is a custom trait or one of the standard ones, which all begin with
// the name of one of a few families.
var trait = regexp.MustCompile(`^(CUSTOM|COMPUTE|HW|MISC|OWNER|STORAGE)_[A-Z0-9_]+$`)

const longestTrait = 255

// CheckTrait refuses what cannot be a trait.
func CheckTrait(s string) error {
	if len(s) > longestTrait || !trait.MatchString(s) {
		const longest = 80
		if len(s) > longest {
			s = s[:longest] + "…"
		}
		return Errorf(Invalid, "Invalid traits: '%s' does not match '^CUSTOM_[A-Z0-9_]+$' and is no standard trait. "+
			"A custom trait is no longer than %d characters, begins with CUSTOM_ and holds only the characters A-Z, 0-9 and _.", s, longestTrait)
	}
	return nil
}

// Traits checks a list of traits and returns it sorted, each one once.
func Traits(list []string) (Strings, error) {
	list = slices.Clone(list)
	slices.Sort(list)
	list = slices.Compact(list)
	for _, t := range list {
		if err := CheckTrait(t); err != nil {
			return "", err
		}
	}
	if len(list) > MaxTraits {
		return "", Errorf(Invalid, "Invalid traits: there are %d, and the most is %d.", len(list), MaxTraits)
	}
	return NewStrings(list...), nil
}
