//! Functions that Flink has, by what they need from the engine: what isn't registered is said
//! to be missing, not unknown.

/// Aggregate functions.
const AGGREGATES: &[&str] = &[
    "APPROX_COUNT_DISTINCT", "ARRAY_AGG", "AVG", "COLLECT", "COUNT", "FIRST_VALUE", "GROUPING", "GROUPING_ID",
    "GROUP_ID", "JSON_ARRAYAGG", "JSON_OBJECTAGG", "LAST_VALUE", "LISTAGG", "MAX", "MIN", "PERCENTILE", "STDDEV",
    "STDDEV_POP", "STDDEV_SAMP", "SUM", "VARIANCE", "VAR_POP", "VAR_SAMP",
];

/// Functions that only make sense over a window of rows.
const OVER_ONLY: &[&str] =
    &["CUME_DIST", "DENSE_RANK", "LAG", "LEAD", "NTILE", "NTH_VALUE", "PERCENT_RANK", "RANK", "ROW_NUMBER"];

/// Grouped windows of the older syntax, and time attributes.
const TIME: &[&str] = &[
    "CURRENT_WATERMARK", "HOP_END", "HOP_PROCTIME", "HOP_ROWTIME", "HOP_START", "MATCH_PROCTIME", "MATCH_ROWTIME",
    "PROCTIME", "SESSION_END", "SESSION_PROCTIME", "SESSION_ROWTIME", "SESSION_START", "TUMBLE_END",
    "TUMBLE_PROCTIME", "TUMBLE_ROWTIME", "TUMBLE_START",
];

/// Table functions.
const TABLE: &[&str] = &[
    "CREATE_MODEL", "CUMULATE", "FROM_CHANGELOG", "HOP", "ML_EVALUATE", "ML_PREDICT", "SESSION", "SNAPSHOT",
    "TO_CHANGELOG", "TUMBLE", "VECTOR_SEARCH",
];

/// Scalar functions.
const SCALAR: &[&str] = &[
    "ABS", "ACOS", "AES_DECRYPT", "AES_ENCRYPT", "ARRAY_APPEND", "ARRAY_CONCAT", "ARRAY_CONTAINS", "ARRAY_DISTINCT",
    "ARRAY_EXCEPT", "ARRAY_INTERSECT", "ARRAY_JOIN", "ARRAY_MAX", "ARRAY_MIN", "ARRAY_POSITION", "ARRAY_PREPEND",
    "ARRAY_REMOVE", "ARRAY_REVERSE", "ARRAY_SLICE", "ARRAY_SORT", "ARRAY_UNION", "ASCII", "ASIN", "ATAN", "ATAN2",
    "BIN", "BTRIM", "CARDINALITY", "CEIL", "CEILING", "CHARACTER_LENGTH", "CHAR_LENGTH", "CHR", "COALESCE", "CONCAT",
    "CONCAT_WS", "CONVERT_TZ", "COS", "COSH", "COT", "CURRENT_CATALOG", "CURRENT_DATABASE", "CURRENT_DATE",
    "CURRENT_ROW_TIMESTAMP", "CURRENT_TIME", "CURRENT_TIMESTAMP", "DATE_FORMAT", "DAYOFMONTH", "DAYOFWEEK",
    "DAYOFYEAR", "DECODE", "DEGREES", "E", "ELEMENT", "ELT", "ENCODE", "ENDSWITH", "EXP", "FLOOR", "FROM_BASE64",
    "FROM_UNIXTIME", "GREATEST", "HEX", "HOUR", "IF", "IFNULL", "INITCAP", "INSTR", "IS_ALPHA", "IS_DECIMAL",
    "IS_DIGIT", "JSON", "JSON_ARRAY", "JSON_EXISTS", "JSON_LENGTH", "JSON_OBJECT", "JSON_QUERY", "JSON_QUOTE",
    "JSON_STRING", "JSON_UNQUOTE", "JSON_VALUE", "LEAST", "LEFT", "LN", "LOCALTIME", "LOCALTIMESTAMP", "LOCATE",
    "LOG", "LOG10", "LOG2", "LOWER", "LPAD", "LTRIM", "MAP_ENTRIES", "MAP_FROM_ARRAYS", "MAP_FROM_ENTRIES",
    "MAP_KEYS", "MAP_UNION", "MAP_VALUES", "MD5", "MINUTE", "MOD", "MONTH", "NOW", "NULLIF", "OCTET_LENGTH",
    "OVERLAY", "PARSE_JSON", "PARSE_URL", "PI", "POSITION", "POWER", "PRINTF", "QUARTER", "RADIANS", "RAND",
    "RAND_INTEGER", "REGEXP", "REGEXP_COUNT", "REGEXP_EXTRACT", "REGEXP_EXTRACT_ALL", "REGEXP_INSTR",
    "REGEXP_REPLACE", "REGEXP_SUBSTR", "REPEAT", "REPLACE", "REVERSE", "RIGHT", "ROUND", "RPAD", "RTRIM", "SECOND",
    "SHA1", "SHA2", "SHA224", "SHA256", "SHA384", "SHA512", "SIGN", "SIN", "SINH", "SPLIT", "SPLIT_INDEX", "SQRT",
    "STARTSWITH", "STR_TO_MAP", "SUBSTR", "SUBSTRING", "TAN", "TANH", "TIMESTAMPADD", "TIMESTAMPDIFF", "TO_BASE64",
    "TO_DATE", "TO_TIMESTAMP", "TO_TIMESTAMP_LTZ", "TRANSLATE", "TRIM", "TRUNCATE", "TRY_PARSE_JSON", "TYPEOF",
    "UNHEX", "UNIX_TIMESTAMP", "UPPER", "URL_DECODE", "URL_ENCODE", "UUID", "WEEK", "YEAR",
];

/// What Flink calls a function of this name (in capitals), if it has one.
pub(super) fn kind(name: &str) -> Option<&'static str> {
    let kinds = [
        (AGGREGATES, "aggregate function"),
        (OVER_ONLY, "window function"),
        (TIME, "function"),
        (TABLE, "table function"),
        (SCALAR, "function"),
    ];
    kinds.into_iter().find(|(names, _)| names.contains(&name)).map(|(_, kind)| kind)
}
