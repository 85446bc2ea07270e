//! What pandas has and this does not: named, so that nobody has to guess.

use std::fmt;

use allocative::Allocative;
use starlark::{
    any::ProvidesStaticType,
    eval::{Arguments, Evaluator},
    starlark_simple_value,
    values::{Heap, NoSerialize, StarlarkValue, Value, starlark_value},
};

use crate::modules::refusal::Refusal;

/// Names of pandas for tables and series that are not implemented.
const KNOWN: &str = " \
 T abs add add_prefix add_suffix agg aggregate align all any applymap argmax argmin argsort array \
 asfreq asof at_time attrs autocorr axes backfill between between_time bfill bool cat clip combine \
 combine_first compare convert_dtypes corr corrwith cov cummax cummin cumprod cumsum describe diff \
 div divide divmod dot droplevel dropna dt dtypes duplicated eval ewm expanding explode factorize \
 ffill fillna filter first first_valid_index flags floordiv from_dict from_records get groupby hasnans hist iat \
 idxmax idxmin iloc infer_objects info insert interpolate is_monotonic is_monotonic_decreasing \
 is_monotonic_increasing is_unique isin isna isnull item items iteritems iterrows itertuples join \
 keys kurt kurtosis last last_valid_index loc lookup mad map mask median melt memory_usage mod mode \
 mul multiply nbytes nlargest notna nsmallest nunique pad pct_change pipe pivot pivot_table pop pow \
 prod product quantile query radd rank ravel rdiv rdivmod reindex reindex_like rename rename_axis \
 reorder_levels repeat replace resample rfloordiv rmod rmul rolling round rpow rsub rtruediv sample \
 searchsorted select_dtypes sem set_axis set_flags set_index skew slice_shift sort_index sparse \
 squeeze stack std style sub subtract swapaxes swaplevel take to_dict to_gbq to_hdf to_json to_latex \
 to_list to_markdown to_numpy to_parquet to_period to_records to_sql to_string to_timestamp \
 to_xarray tolist transform transpose truediv truncate tshift tz_convert tz_localize unstack update \
 value_counts values var view where xs notnull equals assign append merge apply drop head tail cmp \
 size ndim nth ngroup ohlc cumcount split title get_dummies extract findall match pad slice zfill center join cat isdigit ";

/// Names that need what a sandbox does not have: a screen, files, a clipboard.
const NOT_HERE: &str =
    " boxplot plot to_clipboard to_excel to_feather to_html to_pickle to_stata to_xml ";

/// Something of pandas that is not here; any use of it says so.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub struct Missing {
    name: String,
    not_here: bool,
}

starlark_simple_value!(Missing);

impl fmt::Display for Missing {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}", self.refusal())
    }
}

impl Missing {
    /// Stands for an attribute that pandas knows, and for no other.
    pub fn find(kind: &str, attribute: &str) -> Option<Self> {
        let word = format!(" {attribute} ");
        let not_here = NOT_HERE.contains(&word);
        let name = format!("{kind}.{attribute}");
        (not_here || KNOWN.contains(&word)).then_some(Self { name, not_here })
    }

    fn refusal(&self) -> Refusal {
        match self.not_here {
            true => Refusal::NotHere(self.name.clone()),
            false => Refusal::NotImplemented(self.name.clone()),
        }
    }

    fn refused<T>(&self) -> starlark::Result<T> {
        Err(self.refusal().into())
    }
}

#[starlark_value(type = "missing")]
impl<'v> StarlarkValue<'v> for Missing {
    fn invoke(
        &self,
        _: Value<'v>,
        _: &Arguments<'v, '_>,
        _: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        self.refused()
    }

    fn at(&self, _: Value<'v>, _: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refused()
    }

    fn set_at(&self, _: Value<'v>, _: Value<'v>) -> starlark::Result<()> {
        self.refused()
    }

    fn iterate_collect(&self, _: Heap<'v>) -> starlark::Result<Vec<Value<'v>>> {
        self.refused()
    }

    fn length(&self) -> starlark::Result<i32> {
        self.refused()
    }

    fn add(&self, _: Value<'v>, _: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        Some(self.refused())
    }

    fn compare(&self, _: Value<'v>) -> starlark::Result<std::cmp::Ordering> {
        self.refused()
    }
}
