# Makes examples.cpp from messages.txt (first) and the scenario files.
function quote(s) { gsub(/\\/, "\\\\&", s); gsub(/"/, "\\\"", s); gsub(/\t/, "\\t", s); gsub(/\?/, "\\?", s); return "\"" s "\\n\"" }
FNR == 1 {
  if (NR == 1) {
    print "#include \"examples.h\""
    print "namespace test {"
    print "const char kMessages[] ="
  } else {
    print ";"
    n = split(FILENAME, part, "/")
    name[++count] = part[n]
    print "static const char kText" count "[] ="
  }
}
{ print quote($0) }
END {
  print ";"
  print "const Example kScenarios[] = {"
  for (i = 1; i <= count; i++) print "{\"" name[i] "\", kText" i "},"
  print "};"
  print "const unsigned kScenarioCount = " count ";"
  print "}"
}
