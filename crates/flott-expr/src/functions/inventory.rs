//! What Flink has, and how it stands here: the one list behind "not supported yet", the list of
//! functions and the conformance table.
//!
//! ```text
//!   SHOW FUNCTIONS in Flink 2.3        in SQL           here
//!   charLength                         CHAR_LENGTH      registered("charLength", "CHAR_LENGTH")
//!   between                            x BETWEEN y …    syntax("between", "BETWEEN")
//!   sum                                SUM(x)           aggregate("sum", "SUM")
//!   (not listed)                       RANK()           window("", "RANK")
//! ```

/// How a function of Flink stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It is registered, under [`Entry::name`].
    Registered,
    /// It is no function in SQL; the construct works.
    Syntax,
    /// An aggregate function: it works if it is registered.
    Aggregate,
    /// A function over a window of rows.
    Window,
    /// Windows of the older syntax, and time attributes.
    Time,
    /// A table function over tables.
    Table,
    /// Nothing that SQL can call.
    Internal,
    /// A scalar function that is missing.
    Later,
}

impl Standing {
    /// Whether it works.
    pub fn works(self) -> bool {
        matches!(self, Standing::Registered | Standing::Syntax)
    }
    /// What people call it.
    pub fn noun(self) -> &'static str {
        match self {
            Standing::Aggregate => "aggregate function",
            Standing::Window => "window function",
            Standing::Table => "table function",
            Standing::Registered
            | Standing::Syntax
            | Standing::Time
            | Standing::Internal
            | Standing::Later => "function",
        }
    }
    /// The status in one or two words.
    pub fn status(self) -> &'static str {
        match self {
            Standing::Registered | Standing::Syntax => "works",
            Standing::Internal => "internal to Flink",
            Standing::Aggregate | Standing::Window | Standing::Time | Standing::Table | Standing::Later => {
                "not supported yet"
            }
        }
    }
}

/// A function of Flink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// As `SHOW FUNCTIONS` in Flink spells it; empty if it isn't listed there.
    pub flink: &'static str,
    /// As SQL spells it; empty for what SQL can't call.
    pub name: &'static str,
    /// How it stands here.
    pub standing: Standing,
}

impl Entry {
    /// Whether it works.
    pub fn works(&self) -> bool {
        self.standing.works()
            || self.standing == Standing::Aggregate && crate::lookup_aggregate(self.name).is_some()
    }
}

/// The entry of a function that SQL can call by this name, in any case, but that isn't there.
pub fn missing(name: &str) -> Option<&'static Entry> {
    let absent = |entry: &&Entry| !entry.works() && entry.standing != Standing::Internal;
    INVENTORY.iter().filter(absent).find(|entry| entry.name.eq_ignore_ascii_case(name))
}

const fn entry(flink: &'static str, name: &'static str, standing: Standing) -> Entry {
    Entry { flink, name, standing }
}
const fn registered(flink: &'static str, name: &'static str) -> Entry {
    entry(flink, name, Standing::Registered)
}
const fn syntax(flink: &'static str, name: &'static str) -> Entry {
    entry(flink, name, Standing::Syntax)
}
const fn aggregate(flink: &'static str, name: &'static str) -> Entry {
    entry(flink, name, Standing::Aggregate)
}
const fn window(flink: &'static str, name: &'static str) -> Entry {
    entry(flink, name, Standing::Window)
}
const fn time(flink: &'static str, name: &'static str) -> Entry {
    entry(flink, name, Standing::Time)
}
const fn table(flink: &'static str, name: &'static str) -> Entry {
    entry(flink, name, Standing::Table)
}
const fn internal(flink: &'static str) -> Entry {
    entry(flink, "", Standing::Internal)
}
const fn later(flink: &'static str, name: &'static str) -> Entry {
    entry(flink, name, Standing::Later)
}

/// Every name that Flink 2.3 lists, in its order, then functions of its SQL that it doesn't list.
pub static INVENTORY: &[Entry] = &[
    internal("AGG_DECIMAL_MINUS"),
    internal("AGG_DECIMAL_PLUS"),
    aggregate("ARRAY_AGG", "ARRAY_AGG"),
    registered("ARRAY_APPEND", "ARRAY_APPEND"),
    registered("ARRAY_CONCAT", "ARRAY_CONCAT"),
    registered("ARRAY_CONTAINS", "ARRAY_CONTAINS"),
    registered("ARRAY_DISTINCT", "ARRAY_DISTINCT"),
    registered("ARRAY_EXCEPT", "ARRAY_EXCEPT"),
    registered("ARRAY_INTERSECT", "ARRAY_INTERSECT"),
    registered("ARRAY_JOIN", "ARRAY_JOIN"),
    registered("ARRAY_MAX", "ARRAY_MAX"),
    registered("ARRAY_MIN", "ARRAY_MIN"),
    registered("ARRAY_POSITION", "ARRAY_POSITION"),
    registered("ARRAY_PREPEND", "ARRAY_PREPEND"),
    registered("ARRAY_REMOVE", "ARRAY_REMOVE"),
    registered("ARRAY_REVERSE", "ARRAY_REVERSE"),
    registered("ARRAY_SLICE", "ARRAY_SLICE"),
    registered("ARRAY_SORT", "ARRAY_SORT"),
    registered("ARRAY_UNION", "ARRAY_UNION"),
    internal("ASSIGNMENT"),
    registered("BITMAP_AND", "BITMAP_AND"),
    registered("BITMAP_ANDNOT", "BITMAP_ANDNOT"),
    aggregate("BITMAP_AND_AGG", "BITMAP_AND_AGG"),
    aggregate("BITMAP_AND_CARDINALITY_AGG", "BITMAP_AND_CARDINALITY_AGG"),
    registered("BITMAP_BUILD", "BITMAP_BUILD"),
    aggregate("BITMAP_BUILD_AGG", "BITMAP_BUILD_AGG"),
    aggregate("BITMAP_BUILD_CARDINALITY_AGG", "BITMAP_BUILD_CARDINALITY_AGG"),
    registered("BITMAP_CARDINALITY", "BITMAP_CARDINALITY"),
    registered("BITMAP_FROM_BYTES", "BITMAP_FROM_BYTES"),
    registered("BITMAP_OR", "BITMAP_OR"),
    aggregate("BITMAP_OR_AGG", "BITMAP_OR_AGG"),
    aggregate("BITMAP_OR_CARDINALITY_AGG", "BITMAP_OR_CARDINALITY_AGG"),
    registered("BITMAP_TO_ARRAY", "BITMAP_TO_ARRAY"),
    registered("BITMAP_TO_BYTES", "BITMAP_TO_BYTES"),
    registered("BITMAP_TO_STRING", "BITMAP_TO_STRING"),
    registered("BITMAP_XOR", "BITMAP_XOR"),
    aggregate("BITMAP_XOR_AGG", "BITMAP_XOR_AGG"),
    aggregate("BITMAP_XOR_CARDINALITY_AGG", "BITMAP_XOR_CARDINALITY_AGG"),
    registered("BTRIM", "BTRIM"),
    registered("COALESCE", "COALESCE"),
    registered("CURRENT_WATERMARK", "CURRENT_WATERMARK"),
    internal("DEFAULT"),
    registered("ELT", "ELT"),
    registered("ENDSWITH", "ENDSWITH"),
    table("FROM_CHANGELOG", "FROM_CHANGELOG"),
    registered("GREATEST", "GREATEST"),
    internal("HIVE_AGG_DECIMAL_PLUS"),
    registered("IFNULL", "IFNULL"),
    registered("INET_ATON", "INET_ATON"),
    registered("INET_NTOA", "INET_NTOA"),
    registered("IS_JSON", "IS JSON"),
    syntax("JSON", "JSON"),
    registered("JSON_ARRAY", "JSON_ARRAY"),
    aggregate("JSON_ARRAYAGG_ABSENT_ON_NULL", "JSON_ARRAYAGG"),
    aggregate("JSON_ARRAYAGG_NULL_ON_NULL", "JSON_ARRAYAGG"),
    registered("JSON_EXISTS", "JSON_EXISTS"),
    registered("JSON_OBJECT", "JSON_OBJECT"),
    aggregate("JSON_OBJECTAGG_ABSENT_ON_NULL", "JSON_OBJECTAGG"),
    aggregate("JSON_OBJECTAGG_NULL_ON_NULL", "JSON_OBJECTAGG"),
    registered("JSON_QUERY", "JSON_QUERY"),
    registered("JSON_QUOTE", "JSON_QUOTE"),
    registered("JSON_STRING", "JSON_STRING"),
    registered("JSON_UNQUOTE", "JSON_UNQUOTE"),
    registered("JSON_VALUE", "JSON_VALUE"),
    registered("LEAST", "LEAST"),
    registered("LIKE", "LIKE"),
    registered("MAP_ENTRIES", "MAP_ENTRIES"),
    registered("MAP_FROM_ARRAYS", "MAP_FROM_ARRAYS"),
    registered("MAP_KEYS", "MAP_KEYS"),
    registered("MAP_UNION", "MAP_UNION"),
    registered("MAP_VALUES", "MAP_VALUES"),
    table("ML_PREDICT", "ML_PREDICT"),
    later("OBJECT_OF", "OBJECT_OF"),
    later("OBJECT_UPDATE", "OBJECT_UPDATE"),
    registered("PARSE_JSON", "PARSE_JSON"),
    aggregate("PERCENTILE", "PERCENTILE"),
    registered("PRINTF", "PRINTF"),
    registered("REGEXP_COUNT", "REGEXP_COUNT"),
    registered("REGEXP_EXTRACT_ALL", "REGEXP_EXTRACT_ALL"),
    registered("REGEXP_INSTR", "REGEXP_INSTR"),
    registered("REGEXP_SUBSTR", "REGEXP_SUBSTR"),
    time("SOURCE_WATERMARK", "SOURCE_WATERMARK"),
    registered("SPLIT", "SPLIT"),
    registered("STARTSWITH", "STARTSWITH"),
    table("TO_CHANGELOG", "TO_CHANGELOG"),
    registered("TO_TIMESTAMP_LTZ", "TO_TIMESTAMP_LTZ"),
    registered("TRANSLATE3", "TRANSLATE"),
    syntax("TRY_CAST", "TRY_CAST"),
    registered("TRY_PARSE_JSON", "TRY_PARSE_JSON"),
    registered("TYPEOF", "TYPEOF"),
    registered("UNHEX", "UNHEX"),
    registered("URL_DECODE", "URL_DECODE"),
    registered("URL_ENCODE", "URL_ENCODE"),
    registered("abs", "ABS"),
    registered("acos", "ACOS"),
    registered("and", "AND"),
    registered("array", "ARRAY"),
    internal("as"),
    internal("asc"),
    registered("ascii", "ASCII"),
    registered("asin", "ASIN"),
    registered("at", "ITEM"),
    registered("atan", "ATAN"),
    registered("atan2", "ATAN2"),
    aggregate("avg", "AVG"),
    syntax("between", "BETWEEN"),
    registered("bin", "BIN"),
    registered("cardinality", "CARDINALITY"),
    syntax("cast", "CAST"),
    registered("ceil", "CEIL"),
    registered("charLength", "CHAR_LENGTH"),
    registered("chr", "CHR"),
    aggregate("collect", "COLLECT"),
    registered("concat", "CONCAT"),
    registered("concat_ws", "CONCAT_WS"),
    registered("convertTz", "CONVERT_TZ"),
    registered("cos", "COS"),
    registered("cosh", "COSH"),
    registered("cot", "COT"),
    aggregate("count", "COUNT"),
    syntax("currentDatabase", "CURRENT_DATABASE"),
    registered("currentDate", "CURRENT_DATE"),
    registered("currentRowTimestamp", "CURRENT_ROW_TIMESTAMP"),
    registered("currentTime", "CURRENT_TIME"),
    registered("currentTimestamp", "CURRENT_TIMESTAMP"),
    registered("dateFormat", "DATE_FORMAT"),
    registered("decode", "DECODE"),
    registered("degrees", "DEGREES"),
    internal("desc"),
    syntax("distinct", "DISTINCT"),
    registered("divide", "/"),
    registered("e", "E"),
    registered("element", "ELEMENT"),
    registered("encode", "ENCODE"),
    time("end", "TUMBLE_END"),
    registered("equals", "="),
    registered("exp", "EXP"),
    registered("extract", "EXTRACT"),
    aggregate("first_value", "FIRST_VALUE"),
    syntax("flatten", "row.*"),
    registered("floor", "FLOOR"),
    registered("fromBase64", "FROM_BASE64"),
    registered("fromUnixtime", "FROM_UNIXTIME"),
    syntax("get", "row.field"),
    registered("greaterThan", ">"),
    registered("greaterThanOrEqual", ">="),
    registered("hex", "HEX"),
    registered("ifThenElse", "IF"),
    registered("in", "IN"),
    registered("initCap", "INITCAP"),
    registered("instr", "INSTR"),
    registered("isFalse", "IS FALSE"),
    registered("isNotFalse", "IS NOT FALSE"),
    registered("isNotNull", "IS NOT NULL"),
    registered("isNotTrue", "IS NOT TRUE"),
    registered("isNull", "IS NULL"),
    registered("isTrue", "IS TRUE"),
    window("lag", "LAG"),
    aggregate("last_value", "LAST_VALUE"),
    window("lead", "LEAD"),
    registered("left", "LEFT"),
    registered("lessThan", "<"),
    registered("lessThanOrEqual", "<="),
    aggregate("listAgg", "LISTAGG"),
    registered("ln", "LN"),
    registered("localTime", "LOCALTIME"),
    registered("localTimestamp", "LOCALTIMESTAMP"),
    registered("locate", "LOCATE"),
    registered("log", "LOG"),
    registered("log10", "LOG10"),
    registered("log2", "LOG2"),
    registered("lower", "LOWER"),
    registered("lowerCase", "LOWER"),
    registered("lpad", "LPAD"),
    registered("ltrim", "LTRIM"),
    registered("map", "MAP"),
    aggregate("max", "MAX"),
    registered("md5", "MD5"),
    aggregate("min", "MIN"),
    registered("minus", "-"),
    registered("minusPrefix", "-"),
    registered("mod", "%"),
    registered("not", "NOT"),
    syntax("notBetween", "NOT BETWEEN"),
    registered("notEquals", "<>"),
    registered("now", "NOW"),
    registered("or", "OR"),
    window("over", "OVER"),
    registered("overlay", "OVERLAY"),
    registered("parseUrl", "PARSE_URL"),
    registered("pi", "PI"),
    registered("plus", "+"),
    registered("position", "POSITION"),
    registered("power", "POWER"),
    registered("proctime", "PROCTIME"),
    registered("radians", "RADIANS"),
    registered("rand", "RAND"),
    registered("randInteger", "RAND_INTEGER"),
    internal("rangeTo"),
    registered("regexp", "REGEXP"),
    registered("regexpExtract", "REGEXP_EXTRACT"),
    registered("regexpReplace", "REGEXP_REPLACE"),
    internal("reinterpretCast"),
    registered("repeat", "REPEAT"),
    registered("replace", "REPLACE"),
    registered("reverse", "REVERSE"),
    registered("right", "RIGHT"),
    registered("round", "ROUND"),
    registered("row", "ROW"),
    time("rowtime", "ROWTIME"),
    registered("rpad", "RPAD"),
    registered("rtrim", "RTRIM"),
    registered("sha1", "SHA1"),
    registered("sha2", "SHA2"),
    registered("sha224", "SHA224"),
    registered("sha256", "SHA256"),
    registered("sha384", "SHA384"),
    registered("sha512", "SHA512"),
    registered("sign", "SIGN"),
    registered("similar", "SIMILAR TO"),
    registered("sin", "SIN"),
    registered("sinh", "SINH"),
    registered("splitIndex", "SPLIT_INDEX"),
    registered("sqrt", "SQRT"),
    time("start", "TUMBLE_START"),
    aggregate("stddevPop", "STDDEV_POP"),
    aggregate("stddevSamp", "STDDEV_SAMP"),
    registered("strToMap", "STR_TO_MAP"),
    time("streamRecordTimestamp", "STREAMRECORDTIMESTAMP"),
    registered("substr", "SUBSTR"),
    registered("substring", "SUBSTRING"),
    aggregate("sum", "SUM"),
    aggregate("sum0", "$SUM0"),
    registered("tan", "TAN"),
    registered("tanh", "TANH"),
    syntax("temporalOverlaps", "OVERLAPS"),
    registered("times", "*"),
    registered("timestampDiff", "TIMESTAMPDIFF"),
    registered("toBase64", "TO_BASE64"),
    registered("toDate", "TO_DATE"),
    registered("toTimestamp", "TO_TIMESTAMP"),
    registered("trim", "TRIM"),
    registered("truncate", "TRUNCATE"),
    registered("unixTimestamp", "UNIX_TIMESTAMP"),
    registered("upper", "UPPER"),
    registered("upperCase", "UPPER"),
    registered("uuid", "UUID"),
    aggregate("varPop", "VAR_POP"),
    aggregate("varSamp", "VAR_SAMP"),
    internal("withColumns"),
    internal("withoutColumns"),
    aggregate("", "APPROX_COUNT_DISTINCT"),
    syntax("", "GROUPING"),
    syntax("", "GROUPING_ID"),
    syntax("", "GROUP_ID"),
    aggregate("", "STDDEV"),
    aggregate("", "VARIANCE"),
    window("", "CUME_DIST"),
    window("", "DENSE_RANK"),
    window("", "NTILE"),
    window("", "NTH_VALUE"),
    window("", "PERCENT_RANK"),
    window("", "RANK"),
    window("", "ROW_NUMBER"),
    time("", "HOP_END"),
    time("", "HOP_PROCTIME"),
    time("", "HOP_ROWTIME"),
    time("", "HOP_START"),
    time("", "MATCH_PROCTIME"),
    time("", "MATCH_ROWTIME"),
    time("", "SESSION_END"),
    time("", "SESSION_PROCTIME"),
    time("", "SESSION_ROWTIME"),
    time("", "SESSION_START"),
    time("", "TUMBLE_PROCTIME"),
    time("", "TUMBLE_ROWTIME"),
    table("", "CUMULATE"),
    table("", "HOP"),
    table("", "ML_EVALUATE"),
    table("", "SESSION"),
    table("", "SNAPSHOT"),
    table("", "TUMBLE"),
    table("", "VECTOR_SEARCH"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup;

    #[test]
    fn the_inventory_tells_the_truth() {
        for entry in INVENTORY {
            match entry.standing {
                Standing::Registered => assert!(lookup(entry.name).is_some(), "{}", entry.name),
                Standing::Syntax | Standing::Internal => {}
                _ => assert!(lookup(entry.name).is_none(), "{} is there", entry.name),
            }
        }
        assert_eq!(INVENTORY.iter().filter(|it| !it.flink.is_empty()).count(), 251);
        assert_eq!(missing("ml_predict").map(|it| it.standing.noun()), Some("table function"));
        assert_eq!(missing("abs"), None);
    }
}
