package ironicapi

import (
	"net/http"
	"strconv"
	"strings"
)

// The range of microversions that is announced. Fields, filters, verbs and
// endpoints know by themselves since when they exist, so raising maxMinor needs
// nothing else than that the newer rows work.
const (
	minMinor = 1
	maxMinor = 115
)

// Headers of version negotiation, in the canonical form of net/http.
const (
	versionHeader    = "X-Openstack-Ironic-Api-Version"
	minVersionHeader = "X-Openstack-Ironic-Api-Minimum-Version"
	maxVersionHeader = "X-Openstack-Ironic-Api-Maximum-Version"
	stdVersionHeader = "Openstack-Api-Version"
)

func minorText(minor int) string { return "1." + strconv.Itoa(minor) }

// requestedMinor reads the microversion a request asks for: 1.1 if it does not
// say. The standard header wins over the older one. The text of what was asked
// comes back for the error message when ok is false.
func requestedMinor(h http.Header) (minor int, asked string, ok bool) {
	if lines := h[stdVersionHeader]; lines != nil {
		for _, line := range lines {
			for part := range strings.SplitSeq(line, ",") {
				service, version, _ := strings.Cut(strings.TrimSpace(part), " ")
				if strings.EqualFold(service, "baremetal") {
					return parseMinor(version)
				}
			}
		}
	}
	lines := h[versionHeader]
	if lines == nil {
		return minMinor, "", true
	}
	return parseMinor(lines[0])
}

func parseMinor(text string) (minor int, asked string, ok bool) {
	text = strings.TrimSpace(text)
	if strings.EqualFold(text, "latest") {
		return maxMinor, text, true
	}
	major, rest, found := strings.Cut(text, ".")
	if !found || major != "1" || rest == "" || len(rest) > 5 || strings.Trim(rest, "0123456789") != "" {
		return 0, text, false
	}
	minor, err := strconv.Atoi(rest)
	return minor, text, err == nil && minor >= minMinor && minor <= maxMinor
}

// badVersion is the text of the 406 for a version out of range.
func badVersion(asked string) string {
	const longest = 40
	if len(asked) > longest {
		asked = strings.ToValidUTF8(asked[:longest], "") + "…"
	}
	what := "requested version is not valid: it must be 1.N or latest."
	if major, rest, _ := strings.Cut(asked, "."); major == "1" && rest != "" && strings.Trim(rest, "0123456789") == "" {
		what = "minor version is not supported by this service."
	}
	return "Version " + asked + " was requested but the " + what + " The supported version range is: [" +
		minorText(minMinor) + ", " + minorText(maxMinor) + "]."
}
