# Asks Ruby's File.fnmatch? about patterns and names, for the table that
# tests/unit/test_queues.py holds resqued to. One line per pattern: the pattern,
# the names that match it, the names that do not. To make the table anew:
#
#   ruby tests/compat/fnmatch_golden.rb > tests/unit/wire/fnmatch_golden.json

require "json"

GROUPS = {
  "literals, stars, question marks" => [
    ["", "a", "ab", "*", "**", "?", "??", "a*", "*a", "*a*", "a?c", "a*c", "*b*c", "***c",
     "a**b", "?*?", "*?", "*.*", "a.*"],
    ["", " ", "a", "ab", "b", "abc", "aXc", "abbc", ".a", "a.b", "A", "日本", "*", "a\n", "\n"],
  ],
  "a dot at the start of a name, and elsewhere" => [
    ["*", "**", "?a", ".*", "\\.*", "[.]a", "[!b]a", "[^b]a", "*/*", "a/*", "*.a", ".", "?", "\\.a"],
    [".a", ".", "..", "a/.b", ".a/b", "/.a", "a/b", "a.a"],
  ],
  "brackets: sets, ranges, negation" => [
    ["[abc]", "[a-c]", "[^a]", "[!a]", "[^a-c]", "[!a-c]", "[c-a]", "[a-]", "[-a]", "[--a]",
     "[!-]", "[a-c-e]", "[!!]", "[^^]", "[!^]", "[a^]", "[a!]", "[A-z]", "[[]", "[[:alpha:]]",
     "[[a]]", "[a*]", "[?]", "[.]", "[{}]", "[&&a]", "[||]", "[~~]"],
    ["", "a", "b", "e", "Z", "-", "!", "^", "[", ":", "*", "?", "a]", ":]", "ab", "\n", "&", "~"],
  ],
  "brackets in a longer pattern" => [
    ["x[ab]y", "x[!ab]y", "*[0-9]", "[a-m]*", "*[!0-9]*", "[ab][cd]"],
    ["xay", "xcy", "xy", "queue-1", "queue-x", "mail", "zoo", "7", "ac", "ad", "ab"],
  ],
  "brackets that are empty, or never closed" => [
    ["[]", "[]a]", "[!]", "[^]", "[!]a]", "[^]a]", "[", "[a", "[a-", "[a-c", "[!", "[!a", "a[",
     "*[", "[]]", "[]-a]", "]", "a]", "*]"],
    ["", "a", "b", "[", "]", "a]", "xa]", "[]", "[a", "a[", "-"],
  ],
  "brackets with a backslash" => [
    ["[\\]]", "[\\]", "[a\\]b]", "[a-\\]]", "[\\", "[a\\", "[a-\\", "[+-\\]]", "[\\a-\\c]",
     "[\\!a]", "[\\^a]", "[a\\-c]", "[\\-]", "[\\\\]", "[!\\]]"],
    ["a", "b", "]", "\\", "!", "^", "-", "A", "[", "a]", "[\\"],
  ],
  "backslashes" => [
    ["\\*", "\\?", "\\[a]", "\\a", "\\\\", "\\", "a\\", "*\\", "?\\", "\\\\*", "*\\\\", "\\**",
     "a\\*b", "[a]\\", "\\é", "\\\n"],
    ["", "*", "?", "[a]", "a", "\\", "\\a", "\\*", "a\\", "\\\\", "**", "a*b", "axb", "é", "\n"],
  ],
  "braces are letters" => [
    ["{a}", "{a,b}", "{*}", "{a", "}"],
    ["a", "b", "{a}", "{a,b}", "{a", "}", "{}"],
  ],
  "characters of more than one byte" => [
    ["é", "?", "??", "[é]", "[à-ü]", "[!é]", "[a-é]", "日*", "*本", "[日本]?", "😀*", "[😀-😂]", "e?"],
    ["é", "e", "è", "日本", "本", "😁", "😂x", "e\u0301", "\u00a0"],
  ],
  "names as queues have them" => [
    ["mail*", "*_low", "*:*", "file_*", "!neg", "a b", "queue-[0-9]", "queue-?[0-9]"],
    ["mail", "mailer", "Mail", "mail_low", "_low", "app:mail", "file_serve", "!neg", "a b",
     "queue-1", "queue-10"],
  ],
}.freeze

lines = GROUPS.values.flat_map do |patterns, names|
  patterns.map do |pattern|
    [pattern, *names.partition { |name| File.fnmatch?(pattern, name) }].to_json
  end
end
puts "[", lines.join(",\n"), "]"
