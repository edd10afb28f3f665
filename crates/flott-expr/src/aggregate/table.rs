//! The table of aggregate functions, in order of name.

use flott_types::TypeKind;

use super::{AggregateFunction, types};

const fn function(
    name: &'static str,
    signatures: &'static [&'static str],
    resolve: fn(&[crate::Expr]) -> Option<crate::Signature>,
    doc: &'static str,
    examples: &'static [(&'static str, &'static str, &'static str)],
) -> AggregateFunction {
    AggregateFunction {
        name,
        aliases: &[],
        signatures,
        resolve,
        order_matters: false,
        ignores_null: true,
        doc,
        examples,
    }
}

impl AggregateFunction {
    const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
    /// The result depends on the order of rows.
    const fn ordered(mut self) -> Self {
        self.order_matters = true;
        self
    }
    /// A row whose first argument is NULL counts too.
    const fn counting_nulls(mut self) -> Self {
        self.ignores_null = false;
        self
    }
}

/// A form of a function that a clause of its call chooses; the documentation doesn't name it.
const fn form(
    name: &'static str,
    resolve: fn(&[crate::Expr]) -> Option<crate::Signature>,
) -> AggregateFunction {
    function(name, &[], resolve, "", &[]).ordered().counting_nulls()
}

pub(super) static AGGREGATES: &[AggregateFunction] = &[
    // SUM for a plan that sums counts: 0 if there is no value.
    function("$SUM0", &[], types::sum0, "", &[]),
    function(
        "APPROX_COUNT_DISTINCT",
        &["APPROX_COUNT_DISTINCT(x)"],
        types::approx_count_distinct,
        "About how many different values there are: HyperLogLog with 16,384 registers, off by 0.8 % on average \
         (standard error); at most 16 KiB a group. The exact number: `COUNT(DISTINCT x)`.",
        &[("APPROX_COUNT_DISTINCT(x)", "(1), (2), (2)", "2")],
    ),
    function(
        "ARRAY_AGG",
        &["ARRAY_AGG([DISTINCT] x) [{RESPECT | IGNORE} NULLS]"],
        types::array_agg,
        "The values as an array, in the order in which they come, with NULLs unless `IGNORE NULLS` says otherwise. \
         NULL if there is no value.",
        &[("ARRAY_AGG(x)", "(1), (3), (2)", "[1, 3, 2]")],
    )
    .ordered()
    .counting_nulls(),
    form("ARRAY_AGG_IGNORE_NULLS", types::array_agg),
    function(
        "AVG",
        &["AVG([DISTINCT] number)"],
        types::mean,
        "The mean, in the argument's type (of whole numbers cut towards zero); of DECIMAL(p, s) in DECIMAL(38, s), \
         with at least 6 digits behind the point. NULL if there is no value.",
        &[("AVG(x)", "(1), (2)", "1"), ("AVG(x)", "(1.5), (2.5), (2.5)", "2.166667")],
    ),
    function(
        "BITMAP_AND_AGG",
        &["BITMAP_AND_AGG(bitmap)"],
        |args| types::bitmap(args, TypeKind::Bitmap),
        "The numbers that are in all bitmaps. NULL if there is none.",
        &[("BITMAP_TO_STRING(BITMAP_AND_AGG(BITMAP_BUILD(ARRAY[x, y])))", "(1, 2), (2, 3)", "{2}")],
    ),
    function(
        "BITMAP_AND_CARDINALITY_AGG",
        &["BITMAP_AND_CARDINALITY_AGG(bitmap)"],
        |args| types::bitmap(args, TypeKind::BigInt),
        "How many numbers are in all bitmaps. NULL if there is none.",
        &[("BITMAP_AND_CARDINALITY_AGG(BITMAP_BUILD(ARRAY[x, y]))", "(1, 2), (2, 3)", "1")],
    ),
    function(
        "BITMAP_BUILD_AGG",
        &["BITMAP_BUILD_AGG(int)"],
        |args| types::bitmap_build(args, TypeKind::Bitmap),
        "The set of the numbers. NULL if there is none.",
        &[("BITMAP_TO_STRING(BITMAP_BUILD_AGG(x))", "(3), (1), (3)", "{1,3}")],
    ),
    function(
        "BITMAP_BUILD_CARDINALITY_AGG",
        &["BITMAP_BUILD_CARDINALITY_AGG(int)"],
        |args| types::bitmap_build(args, TypeKind::BigInt),
        "How many different numbers there are. NULL if there is none.",
        &[("BITMAP_BUILD_CARDINALITY_AGG(x)", "(3), (1), (3)", "2")],
    ),
    function(
        "BITMAP_OR_AGG",
        &["BITMAP_OR_AGG(bitmap)"],
        |args| types::bitmap(args, TypeKind::Bitmap),
        "The numbers that are in some bitmap. NULL if there is none.",
        &[("BITMAP_TO_STRING(BITMAP_OR_AGG(BITMAP_BUILD(ARRAY[x, y])))", "(1, 2), (2, 3)", "{1,2,3}")],
    ),
    function(
        "BITMAP_OR_CARDINALITY_AGG",
        &["BITMAP_OR_CARDINALITY_AGG(bitmap)"],
        |args| types::bitmap(args, TypeKind::BigInt),
        "How many numbers are in some bitmap. NULL if there is none.",
        &[("BITMAP_OR_CARDINALITY_AGG(BITMAP_BUILD(ARRAY[x, y]))", "(1, 2), (2, 3)", "3")],
    ),
    function(
        "BITMAP_XOR_AGG",
        &["BITMAP_XOR_AGG(bitmap)"],
        |args| types::bitmap(args, TypeKind::Bitmap),
        "The numbers that are in an odd number of bitmaps. NULL if there is none.",
        &[("BITMAP_TO_STRING(BITMAP_XOR_AGG(BITMAP_BUILD(ARRAY[x, y])))", "(1, 2), (2, 3)", "{1,3}")],
    ),
    function(
        "BITMAP_XOR_CARDINALITY_AGG",
        &["BITMAP_XOR_CARDINALITY_AGG(bitmap)"],
        |args| types::bitmap(args, TypeKind::BigInt),
        "How many numbers are in an odd number of bitmaps. NULL if there is none.",
        &[("BITMAP_XOR_CARDINALITY_AGG(BITMAP_BUILD(ARRAY[x, y]))", "(1, 2), (2, 3)", "2")],
    ),
    function(
        "COLLECT",
        &["COLLECT([DISTINCT] x)"],
        types::collect,
        "The values as a MULTISET, without NULLs; empty if there is no value.",
        &[("COLLECT(x)", "('b'), ('a'), ('b')", "{a=1, b=2}")],
    ),
    function(
        "COUNT",
        &["COUNT(*)", "COUNT([DISTINCT] x [, …])"],
        types::count,
        "The number of rows; with arguments, of those in which none is NULL.",
        &[("COUNT(*)", "(1), (2)", "2"), ("COUNT(x)", "(1), (CAST(NULL AS INT))", "1")],
    ),
    function(
        "FIRST_VALUE",
        &["FIRST_VALUE(x)"],
        types::any_one,
        "The value that came first, without NULLs. NULL if there is no value.",
        &[("FIRST_VALUE(x)", "(CAST(NULL AS INT)), (3), (1)", "3")],
    )
    .ordered(),
    function(
        "JSON_ARRAYAGG",
        &["JSON_ARRAYAGG(value [{NULL | ABSENT} ON NULL])"],
        types::json_array,
        "A JSON array of the values, in the order in which they come. NULL is left out (`ABSENT ON NULL`, the \
         default) or becomes null.",
        &[("JSON_ARRAYAGG(x)", "('a'), ('b')", "[\"a\",\"b\"]")],
    )
    .ordered()
    .counting_nulls(),
    form("JSON_ARRAYAGG_ABSENT_ON_NULL", types::json_array),
    form("JSON_ARRAYAGG_NULL_ON_NULL", types::json_array),
    function(
        "JSON_OBJECTAGG",
        &["JSON_OBJECTAGG([KEY] key VALUE value [{NULL | ABSENT} ON NULL])"],
        types::json_object,
        "A JSON object of the keys and values, in the order of the keys. NULL becomes null (`NULL ON NULL`, the \
         default) or is left out. A key that comes twice in a group is an error.",
        &[("JSON_OBJECTAGG(KEY x VALUE y)", "('b', 1), ('a', 2)", "{\"a\":2,\"b\":1}")],
    )
    .counting_nulls(),
    form("JSON_OBJECTAGG_ABSENT_ON_NULL", types::json_object),
    form("JSON_OBJECTAGG_NULL_ON_NULL", types::json_object),
    function(
        "LAST_VALUE",
        &["LAST_VALUE(x)"],
        types::any_one,
        "The value that came last, without NULLs. NULL if there is no value.",
        &[("LAST_VALUE(x)", "(3), (1), (CAST(NULL AS INT))", "1")],
    )
    .ordered(),
    function(
        "LISTAGG",
        &["LISTAGG([DISTINCT] string [, separator])"],
        types::list_agg,
        "The texts joined in the order in which they come, with a comma or the separator (a constant) in between. \
         NULL if there is no value.",
        &[("LISTAGG(x)", "('a'), ('b')", "a,b"), ("LISTAGG(x, '; ')", "('a'), ('b')", "a; b")],
    )
    .ordered(),
    function(
        "MAX",
        &["MAX(x)"],
        types::extreme,
        "The greatest value: of numbers, BOOLEANs, texts, dates and times. NaN counts as the greatest, -0.0 as less \
         than 0.0.",
        &[("MAX(x)", "(1), (3), (2)", "3")],
    ),
    function(
        "MIN",
        &["MIN(x)"],
        types::extreme,
        "The least value: of numbers, BOOLEANs, texts, dates and times. NaN counts as the greatest, -0.0 as less than \
         0.0.",
        &[("MIN(x)", "('b'), ('a')", "a")],
    ),
    function(
        "PERCENTILE",
        &["PERCENTILE(number, percentage [, frequency])", "PERCENTILE(number, array [, frequency])"],
        types::percentile,
        "The exact percentile (0 to 1), between the two values next to its place; with an array of percentages, an \
         array of percentiles. A row counts as often as its frequency says, not at all if that is 0 or less. NULL if \
         there is no value.",
        &[
            ("PERCENTILE(x, 0.3)", "(1), (2), (4), (9)", "1.9"),
            ("PERCENTILE(x, ARRAY[0.0, 0.5])", "(1), (2), (4)", "[1.0, 2.0]"),
            ("PERCENTILE(x, 0.5, y)", "(1, 5), (2, 1), (4, 1)", "1.0"),
        ],
    ),
    function(
        "SINGLE_VALUE",
        &["SINGLE_VALUE(x)"],
        types::any_one,
        "The only value; more than one row is an error. NULL if there is no row.",
        &[("SINGLE_VALUE(x)", "(7)", "7")],
    )
    .counting_nulls(),
    function(
        "STDDEV_POP",
        &["STDDEV_POP([DISTINCT] number)"],
        types::spread,
        "The standard deviation, in the type that AVG has. NULL if there is no value.",
        &[("STDDEV_POP(x)", "(CAST(2 AS DOUBLE)), (CAST(4 AS DOUBLE))", "1.0")],
    ),
    function(
        "STDDEV_SAMP",
        &["STDDEV_SAMP([DISTINCT] number)"],
        types::spread,
        "The standard deviation of a sample, in the type that AVG has. NULL for fewer than two values.",
        &[("STDDEV_SAMP(x)", "(1.0), (2.0), (3.0)", "1.000000")],
    )
    .also(&["STDDEV"]),
    function(
        "SUM",
        &["SUM([DISTINCT] number)"],
        types::sum,
        "The sum, in the argument's type, in which whole numbers wrap around; of DECIMAL(p, s) in DECIMAL(38, s), \
         NULL if it has more digits. NULL if there is no value.",
        &[("SUM(x)", "(1), (2)", "3")],
    ),
    function(
        "VAR_POP",
        &["VAR_POP([DISTINCT] number)"],
        types::spread,
        "The variance, in the type that AVG has. NULL if there is no value.",
        &[("VAR_POP(x)", "(1), (2), (5)", "2"), ("VAR_POP(x)", "(1.0), (2.0), (5.0)", "2.888889")],
    ),
    function(
        "VAR_SAMP",
        &["VAR_SAMP([DISTINCT] number)"],
        types::spread,
        "The variance of a sample, in the type that AVG has. NULL for fewer than two values.",
        &[("VAR_SAMP(x)", "(1.0), (2.0), (5.0)", "4.333333")],
    )
    .also(&["VARIANCE"]),
];
